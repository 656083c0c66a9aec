// Package bench measures a mail server from outside: a load generator that speaks LMTP, IMAPS and POP3S to any server, so
// that two of them can be compared doing the same work.
//
// A Step is one kind of work, such as "fetch the flags of the whole mailbox". Open logs in and fills what the steps read
// from; Run does a step once and says how fast it went. Runs can be repeated, and interleaved with those of another Bench.
//
// Three rules:
//
//   - The client is cheap, so that the server is measured: it scans responses for what it must know and skips the rest,
//     literals by their length. Messages are made before the clock starts.
//   - It verifies: every reply is positive, as many responses come as must, bodies have the size that they were stored
//     with. A wrong answer is an error, however fast.
//   - It uses what the server announces. What it does not announce makes a row with a reason, not an error.
//
// It knows nothing of Postern's other packages.
package bench
