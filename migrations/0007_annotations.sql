-- +goose Up

create table annotations (
  account_id bigint not null,
  mailbox_id bigint not null,
  entry      text not null,
  seq        bigint not null,
  size       integer not null default 0,
  data       bytea,
  primary key (account_id, mailbox_id, entry)
);
create index annotations_seq on annotations (account_id, seq);
alter table annotations alter data set storage external;
comment on table annotations is 'METADATA (RFC 5464): entries of mailboxes and of accounts. Shared entries are under the account of the mailbox, private ones under that of the user who sees them.';
comment on column annotations.mailbox_id is '0 means the account as a whole. Of a private entry, it may be another account''s mailbox.';
comment on column annotations.entry is 'Lower case. In the clear, like the names of mailboxes: it is looked up.';
comment on column annotations.seq is 'accounts.annotated at the last change: what a session has not heard of is above what it has.';
comment on column annotations.size is 'Octets of the value before it was sealed.';
comment on column annotations.data is 'The value, compressed and sealed with the account''s key. Null for an entry that was removed, kept to tell of it.';

alter table accounts add column annotated bigint not null default 0;
comment on column accounts.annotated is 'Counts the changes of annotations.';
