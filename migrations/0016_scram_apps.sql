-- +goose Up

alter table accounts add column scram_salt text not null default '';
comment on column accounts.scram_salt is 'What all keys of SCRAM of this account are made with, as rounds:salt (RFC 5803): the server says it before it knows which password the client has. Empty: that of scram, or none yet. It stays when the password changes.';

alter table app_passwords add column scram text not null default '';
comment on column app_passwords.scram is 'Keys of SCRAM-SHA-256 made from it (RFC 5803), sealed with the key-encryption key, in base64; empty in those made before there were any.';
