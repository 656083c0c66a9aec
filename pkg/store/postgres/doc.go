// Package postgres keeps mail in PostgreSQL. It holds the only SQL of the program.
//
// # Rules
//
// The numbers are those of docs/architecture.md.
//
//  5. Every write locks the mailbox rows it touches first, in id order, and takes UID and mod-sequence from them in the
//     same transaction: those rows of mailbox_state are the only locks of mail. (The row of accounts is taken before
//     them by what changes the tree of mailboxes.) So the commits of one mailbox are in mod-sequence order, a reader
//     who has seen n will never later find n-1, and there is nothing to deadlock with. A transaction touches one
//     account; the lanes' combined deliveries, which lock in (account, mailbox) order, are the exception.
//  6. Committing publishes. No caller can forget to notify, because no caller can notify: write and the lanes do.
//  7. A notification is a hint; the mod-sequence is the truth. Memory is as true while nobody else writes, which a lock tells
//     (presence); then a look asks nobody (cache.sure).
//  8. A message's octets never change and are parsed once, on arrival.
//  9. A visible message has its body. Blob first, row second, one commit for the row; what a crash leaves behind is named
//     in blob_gc and swept.
//
// # Reading
//
// Of each mailbox that is open, one store.Snapshot is kept for all sessions of the process (cache). Sessions that ask for
// one mailbox at the same time share one look at the database (flight). A look at a mailbox without news is one
// statement, on its row; with news, a pipeline under one database snapshot reads the rows of the journal above the
// mod-sequence known and the messages from the UIDNEXT known on, and makes the next Snapshot of the last one. The number
// of messages must then be what the mailbox's row says; if not, the mailbox is read anew. Large mailboxes are first read
// from mailbox_index, in which their columns lie packed as of some mod-sequence; what happened since follows as above.
//
// Which mailboxes are in the cache is kept in nodes (opened); a server that starts loads them before anybody asks (warmUp).
//
// What a transaction of this process does to the flags of a mailbox in memory is not read back: the next version is made of
// what it returns, if it follows the version that is there (committed). Who made the change then need not ask either
// (RefreshTo); everyone else does, for other processes may have written.
//
// The keys by which SORT and THREAD order messages are kept likewise, by body: in memory for all sessions (keyCache), and
// in sort_keys for the next process (keyWriter), where the indexer puts those of all that it reads, before anybody asks. Bodies
// never change, so they are never out of date.
//
// Bodies are read in pages of many messages ahead of the caller, or one window at a time; never is a connection held
// while the caller has control (rule 4). Small messages that are asked for one by one are kept for a while, with those that are
// expected next (kept, pace), and so are windows that are read on from (windowCache).
//
// # Writing
//
// A transaction on mail is a pipe: its statements are queued and go to the server together, the commit included, unless a step
// must see an answer first. So its statements take the mod-sequence from the row that the first one has locked (nextModSeq).
//
// # Search
//
// A search judges messages by the snapshot first. If that leaves many open, it asks the substring index (gram*.go), and
// reads what is open still; what reading has told of a text is remembered (verdicts). Criteria.Match is the definition; the index
// may only be faster. Its segments (fts_seg) each say
// which messages they speak of, and file these under grams in blocks (fts_block); gram.go says what a gram is. They are
// built in the background (keepIndexed), a mailbox by one process at a time (fts_state), merged in levels, and may be
// thrown away.
//
// # Bodies
//
// A message of Size octets with a header of hsize octets (up to and including the empty line; the prefix that a delivery
// puts before it counts as header) is kept under one blob_id as
//
//   - bodies.hdr of part 0: its first min(hsize, 256 Ki) octets (headerColumn);
//   - bodies.data of parts 0, 1, 2, …: all that follows, in windows of 256 Ki octets. Part 0 is always there, if empty.
//     A header above 256 Ki octets goes on in the windows, in front of the body;
//   - bodies.tree of part 0: the MIME tree (message.Part), its offsets those of the whole message.
//
// Octet o is thus in hdr at o if o < headerColumn(hsize), or else in part (o-headerColumn(hsize)) / window.
//
// Each column is compressed, then sealed with AES-256-GCM, on its own, and says of itself how (encodePart). The key is
// derived from the account's data key and the blob_id, the nonce is part and column: safe, because a blob_id is never
// used for other octets (idSource). The additional data are account, blob, part, column, codec and length. The account's
// data key lies in accounts.dek, sealed with the key-encryption key, which is not in the database.
//
// Copies share a body. blob_refs counts the messages of bodies that have had several, those that can be restored too; no row
// means one. An expunge names the bodies of its messages in blob_gc, and restoring them takes the names out again: when they
// are due, the sweeper counts them off, and deletes the bodies that nobody refers to any more.
package postgres
