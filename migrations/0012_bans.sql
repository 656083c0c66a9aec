-- +goose Up

create table bans (
  who    text primary key,
  reason text not null,
  since  timestamptz not null default now(),
  until  timestamptz not null,
  times  integer not null default 1
);
comment on table bans is 'Who is refused logins by all processes, and until when. Rows stay for a day after that: who comes back is banned for longer.';
comment on column bans.who is 'A prefix (192.0.2.1/32), or the address of an account: strangers to it are refused.';
comment on column bans.times is 'How often in a row.';

create table logins (
  account_id bigint not null,
  ok         boolean not null,
  login_id   bigint generated always as identity,
  at         timestamptz not null,
  count      integer not null,
  address    inet,
  protocol   text not null,
  mechanism  text not null,
  client     text not null,
  result     text not null,
  primary key (account_id, ok, login_id)
);
create index logins_at on logins (at);
comment on table logins is 'The login history of each account: so many of each kind, lest an attack hide what mattered.';
comment on column logins.at is 'Of the last one.';
comment on column logins.count is 'How many of the same there were within some seconds.';
comment on column logins.address is 'Null: a socket of this machine.';
comment on column logins.client is 'What the client said of itself (RFC 2971), or empty.';

create table login_places (
  account_id bigint not null,
  place      text not null,
  client     text not null,
  last_at    timestamptz not null,
  primary key (account_id, place, client)
);
comment on table login_places is 'From where, and with what, each account has logged in.';
comment on column login_places.place is 'A /24 or /48, or empty for a socket of this machine.';
