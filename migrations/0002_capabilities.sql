-- +goose Up

alter table accounts add column imap_disable text not null default '';
comment on column accounts.imap_disable is 'Capabilities of IMAP that are not there for this account, with commas between.';
