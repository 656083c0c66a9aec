package slack

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

const setTimerSlack, getTimerSlack = 29, 30 // prctl(2)

// mark is in the environment of the program that has been begun again: the process it is for.
const mark = "TIMER_SLACK_SET_FOR"

// Coalesce gives all threads the slack of Timers. Go looks after its threads from one that sleeps for 20 µs at a time as long as any of
// them has something to do. Each of these sleeps is a timer of the kernel's; under deliveries they took an eighth of the process's
// processor time, and more on a machine that is virtual (0041). A thread has its slack from the one that made it, and
// that one is there before main. So the program begins again, as the same process, by a thread that has set it. An error says why
// all is as it was.
func Coalesce() error {
	self := strconv.Itoa(os.Getpid())
	if os.Getenv(mark) == self {
		return os.Unsetenv(mark)
	}
	runtime.LockOSThread() // the slack is this thread's
	defer runtime.UnlockOSThread()
	if has, errno := timerSlack(); errno == 0 && has >= uintptr(Timers) {
		return nil // who began the program has seen to it
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, uintptr(Timers), 0); errno != 0 {
		return fmt.Errorf("set the timers' slack: %w", errno)
	}
	program, err := os.Executable()
	if err == nil { // of two marks, the first would be read
		err = syscall.Exec(program, os.Args, append([]string{mark + "=" + self}, os.Environ()...))
	}
	return fmt.Errorf("begin again with the timers' slack: %w", err)
}

// timerSlack is that of the calling thread, in nanoseconds.
func timerSlack() (uintptr, syscall.Errno) {
	has, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0)
	return has, errno
}
