-- +goose Up

create table certificates (
  key      text collate "C" primary key,
  value    bytea not null,
  modified timestamptz not null default now()
);
comment on table certificates is 'What CertMagic keeps: certificates, their private keys, ACME accounts, challenges under way; for all processes.';
comment on column certificates.key is 'A path, its parts separated by "/"; what is below it lies between "path/" and "path0".';
comment on column certificates.value is 'Sealed with the key-encryption key, bound to its path.';

create table certificate_locks (
  name       text primary key,
  holder     bigint not null,
  expires_at timestamptz not null
);
comment on table certificate_locks is 'Who is ordering or renewing what: one process at a time.';
comment on column certificate_locks.holder is 'A random number of the holder''s own.';

create table hosts (
  name       text primary key,
  created_at timestamptz not null default now()
);
comment on table hosts is 'Host names of customers for which certificates may be ordered when a client first asks for them.';
comment on column hosts.name is 'Lower case, in the form of DNS (A-labels).';
