-- +goose Up

alter table accounts
  add column login_epoch bigint not null default 0,
  add column scram       text not null default '',
  add column app_only    boolean not null default false;
comment on column accounts.login_epoch is 'Grows when the password is set: sessions of an older one end.';
comment on column accounts.scram is 'Keys of SCRAM-SHA-256 made from the same password as secret (RFC 5803), sealed with the key-encryption key, in base64; empty until there are some.';
comment on column accounts.app_only is 'The account''s own password does not log in, app passwords do.';

create table app_passwords (
  account_id  bigint not null,
  password_id bigint generated always as identity,
  name        text not null,
  digest      bytea not null,
  scope       text not null default '',
  created_at  timestamptz not null default now(),
  expires_at  timestamptz,
  used_at     timestamptz,
  used_from   text not null default '',
  used_by     text not null default '',
  primary key (account_id, password_id)
);
comment on table app_passwords is 'Passwords that Postern made, each for one device. One that is revoked is gone.';
comment on column app_passwords.digest is 'SHA-256. The password has 120 random bits, so there is nothing to guess and no need for a slow hash.';
comment on column app_passwords.scope is 'The protocols it is good for, with commas between; empty means all.';
comment on column app_passwords.expires_at is 'Null means never.';
comment on column app_passwords.used_at is 'Of the last login, or a little before: it is written now and then. used_from is its address, used_by what the client called itself.';
