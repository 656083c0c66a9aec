-- +goose Up

-- The substring index: segments of messages, each filed under n-grams in blocks. All of it is derived and may be emptied.
-- The tables of 0001 were never written to.
drop table fts_seg;
drop table fts_state;

create table fts_seg (
  account_id bigint not null,
  mailbox_id bigint not null,
  seg        bigint not null,
  level      smallint not null,
  state      smallint not null,
  lo         bigint not null,
  hi         bigint not null,
  cover      bytea not null,
  bits       smallint not null,
  octets     bigint not null,
  done       integer not null default 0,
  into_seg   bigint,
  primary key (account_id, mailbox_id, seg)
);
create index fts_seg_dropped on fts_seg (account_id, mailbox_id, seg) where state = 2;
comment on table fts_seg is 'Derived, may be emptied: segments of the index for substring search, built behind delivery.';
comment on column fts_seg.seg is 'Made like bodies.blob_id, never reused: the blocks of a segment never change.';
comment on column fts_seg.level is '-1 of new mail, 0 of more messages; merging neighbours makes one of the next level.';
comment on column fts_seg.state is '0 ready; 1 being merged; 2 dropped: its blocks are being deleted.';
comment on column fts_seg.lo is 'The first UID the segment answers for.';
comment on column fts_seg.hi is 'The last UID it answers for.';
comment on column fts_seg.cover is 'Which of them it speaks of. The others are read by searches.';
comment on column fts_seg.bits is 'It has 2^bits blocks.';
comment on column fts_seg.octets is 'Of its blocks, before they were compressed.';
comment on column fts_seg.done is 'While being merged: so many blocks are written.';
comment on column fts_seg.into_seg is 'The segment that it is being merged into.';

create table fts_block (
  account_id bigint not null,
  mailbox_id bigint not null,
  seg        bigint not null,
  block      integer not null,
  data       bytea not null,
  primary key (account_id, mailbox_id, seg, block)
) with (toast_tuple_target = 8160);
alter table fts_block alter data set storage external;
comment on table fts_block is 'Derived, may be emptied together with fts_seg: grams and the messages they are in, sealed like bodies.';
comment on column fts_block.block is 'The first bits of the grams that are in it.';

create table fts_state (
  account_id bigint not null,
  mailbox_id bigint not null,
  holder     bigint not null,
  until      timestamptz not null,
  primary key (account_id, mailbox_id)
);
comment on table fts_state is 'Who is building the index of a mailbox: one process at a time.';
comment on column fts_state.holder is 'A random number of the process''s own.';
comment on column fts_state.until is 'When another may go on instead.';
