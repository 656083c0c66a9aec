-- +goose Up

alter table accounts
  add column totp      text not null default '',
  add column totp_on   boolean not null default false,
  add column totp_step bigint not null default 0;
comment on column accounts.totp is 'The secret of time-based codes (RFC 6238), sealed with the key-encryption key, in base64; empty: there is none.';
comment on column accounts.totp_on is 'The own password needs a code. False with a secret: nobody has shown yet that they have it.';
comment on column accounts.totp_step is 'The time step of the last code that was used: none of it or an earlier one is taken again.';
