package bench

func selectSteps() []Step { return nil }
func writeSteps() []Step  { return nil }
func searchSteps() []Step { return nil }
func pushSteps() []Step   { return nil }
func pop3Steps() []Step   { return nil }
func loginSteps() []Step  { return nil }
func memorySteps() []Step { return nil }
