-- +goose Up

-- By octets, whatever the collation of the database: what is below a mailbox is then one range of names.
create index mailboxes_below on mailboxes (account_id, (name collate "C"));

-- Whose private annotations of a mailbox go with it.
create index annotations_mailbox on annotations (mailbox_id) where mailbox_id <> 0;
