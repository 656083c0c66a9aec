//go:build race

package gateway_test

// raceFlags builds the program as the test itself is built.
var raceFlags = []string{"-race"}
