-- +goose Up

create table acl (
  account_id bigint not null,
  mailbox_id bigint not null,
  identifier text not null,
  negative   boolean not null default false,
  rights     smallint not null,
  primary key (account_id, mailbox_id, identifier, negative)
);
create index acl_identifier on acl (identifier);
comment on table acl is 'Who may do what in other people''s mailboxes (RFC 4314). The owner has all rights and no row.';
comment on column acl.account_id is 'The owner''s.';
comment on column acl.identifier is '''anyone'', the address of an account, or ''@'' and a domain. Not an account_id: a list says nothing of which accounts there are.';
comment on column acl.negative is 'The rights are taken away, whoever else grants them.';
comment on column acl.rights is 'Bits 0-10: l r s w i p k x t e a. Never 0.';

comment on column journal.kind is '1 add flags, 2 remove flags, 3 replace flags, 4 expunge. To 3 are added, 8 times: 1 if \Seen stays as it was, 2 if the other flags and keywords do, 4 if \Deleted does.';

alter table accounts add column quota_messages bigint, add column quota_mailboxes bigint;
comment on column accounts.quota_messages is 'Null means no limit. Use is the sum of mailbox_state.n_msgs.';
comment on column accounts.quota_mailboxes is 'Null means no limit. Use is the number of mailboxes.';
