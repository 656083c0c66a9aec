// Package embedded runs a private PostgreSQL from installed binaries: it makes a cluster on first start, starts the
// server as a child process, restarts it when it dies and stops it cleanly. The server listens on a Unix socket in a
// private folder and nowhere else, and runs as an unprivileged user when we are root. The package knows nothing of
// what is kept in the database and speaks no SQL beyond making one empty database.
//
// The data folder holds
//
//	lock          held (flock) by the process that owns the server; its text is that process's number
//	attached      held in common by the processes that use another's server
//	cluster/      the PostgreSQL data folder
//	run/          the folder of the socket, unless its path is too long for one
//	socket_dir    names the folder of the socket when it is elsewhere
//	postgres.log  what the server writes to standard error
//
// Invariants:
//
//  1. The owner of the lock is the only one that starts or stops a server on the folder.
//  2. A folder named cluster is complete: it is made under another name and renamed.
//  3. A server that outlived its owner is stopped before another is started, and only after it has been recognised as
//     a postgres on this very folder.
//  4. When we are root, no file that we write lies in a folder that the unprivileged user may write to.
package embedded
