-- +goose Up

create table sort_keys (
  account_id bigint not null,
  mailbox_id bigint not null,
  lo         bigint not null,
  hi         bigint not null,
  n          integer not null,
  data       bytea not null,
  primary key (account_id, mailbox_id, lo)
);
alter table sort_keys alter data set storage external;
comment on table sort_keys is 'Derived, may be emptied: the keys by which SORT and THREAD order the messages of large mailboxes, packed up to 4096 at a time, compressed and sealed with the account''s key. They are those of bodies, which never change: a row is never out of date.';
comment on column sort_keys.lo is 'The UID of the first message in the segment. Segments do not overlap, save for a moment when two processes write.';
comment on column sort_keys.hi is 'The UID of the last one.';
comment on column sort_keys.n is 'Messages in the segment. Those that were expunged since stay in it until most of them are.';
