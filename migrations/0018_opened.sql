-- +goose Up

alter table nodes
  add column opened bigint[],
  add column opened_at timestamptz;
comment on column nodes.opened is 'The mailboxes that the last server with this number had in memory, the one used last first: account, mailbox, account, mailbox, … Its successor reads them before anybody asks.';
comment on column nodes.opened_at is 'When opened was written.';
