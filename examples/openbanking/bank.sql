-- The demo bank's own records, which Countersign reads and never writes: whose the
-- accounts are, and what customers let clients do. Times are relative to now, so
-- that the stories hold on any day.

create table customers (
  id      text primary key,
  issuer  text not null,      -- a subject means nothing without its issuer
  subject text not null,
  unique (issuer, subject)
);

create table accounts (
  id     text primary key,
  region text not null        -- where the account is kept
);

create table holders (
  account  text not null references accounts,
  customer text not null references customers,
  relation text not null,     -- owner, joint
  primary key (account, customer)
);

create table consents (
  id         text primary key,
  issuer     text not null,   -- whose client and whose subject
  status     text not null,   -- AWAU, AUTH, RJCT, CANC, EXPD
  client     text not null,
  subject    text not null,
  expires_at text             -- RFC 3339; null is open-ended
);

create table consent_permissions (
  consent    text not null references consents,
  permission text not null,
  primary key (consent, permission)
);

create table consent_accounts (
  consent text not null references consents,
  account text not null references accounts,
  primary key (consent, account)
);

insert into customers (id, issuer, subject) values
  ('C-1001', 'https://auth.bank.example', 'ann'),
  ('C-1002', 'https://auth.bank.example', 'bob');

insert into accounts (id, region) values
  ('22289', 'GB'),            -- Ann's
  ('22290', 'US'),            -- Ann's, kept abroad
  ('31820', 'GB'),            -- Bob's
  ('40500', 'GB');            -- Ann's and Bob's

insert into holders (account, customer, relation) values
  ('22289', 'C-1001', 'owner'),
  ('22290', 'C-1001', 'owner'),
  ('31820', 'C-1002', 'owner'),
  ('40500', 'C-1001', 'joint'),
  ('40500', 'C-1002', 'joint');

insert into consents (issuer, id, status, client, subject, expires_at)
  select 'https://auth.bank.example', * from (values
  ('ann-acme',         'AUTH', 'acme', 'ann', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+90 days')),
  ('ann-acme-basic',   'AUTH', 'acme', 'ann', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+90 days')),
  ('ann-acme-joint',   'AUTH', 'acme', 'ann', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+90 days')),
  ('ann-acme-expired', 'AUTH', 'acme', 'ann', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 day')),
  ('ann-acme-revoked', 'CANC', 'acme', 'ann', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+90 days')),
  ('ann-zeta',         'AUTH', 'zeta', 'ann', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+90 days')),
  ('bob-acme',         'AUTH', 'acme', 'bob', null));

-- Everything that the API can be asked for ...
insert into consent_permissions (consent, permission)
  select consents.id, permissions.value
  from consents, json_each('["ReadAccountsDetail", "ReadBalances", "ReadTransactionsDetail",
    "ReadTransactionsCredits", "ReadTransactionsDebits", "ReadStatementsDetail", "ReadPartyPSU"]') as permissions
  where consents.id <> 'ann-acme-basic';

-- ... but in one consent.
insert into consent_permissions (consent, permission) values
  ('ann-acme-basic', 'ReadAccountsBasic');

-- Bob's account stands in one of Ann's consents too, by somebody's mistake: a consent
-- must not make an account hers.
insert into consent_accounts (consent, account) values
  ('ann-acme',         '22289'),
  ('ann-acme',         '22290'),
  ('ann-acme',         '40500'),
  ('ann-acme',         '31820'),
  ('ann-acme-basic',   '22289'),
  ('ann-acme-joint',   '40500'),
  ('ann-acme-expired', '22289'),
  ('ann-acme-revoked', '22289'),
  ('ann-zeta',         '22289'),
  ('bob-acme',         '31820'),
  ('bob-acme',         '40500');
