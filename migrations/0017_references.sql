-- +goose Up

-- An expunge no longer touches blob_refs: what it took is counted off when its rows of blob_gc are due. So blob_refs counts
-- what can be restored too, and blob_gc holds one entry for each of these messages, in chunks of 1,000 of a record's 10,000.
update blob_refs r
set refs = r.refs + e.n
from (
  select account_id, blob_id, count(*)::int as n
  from expunged
  cross join lateral unnest(blobs) b(blob_id)
  group by account_id, blob_id
) e
where r.account_id = e.account_id and r.blob_id = e.blob_id;

create temporary table kept on commit drop as
select e.account_id, e.expunge_id, e.chunk * 10 + (b.nth - 1) / 1000 as chunk,
  e.at + coalesce(max(g.due - e.at) over (), interval '14 days') as due, b.blob_id
from expunged e
left join blob_gc g on g.account_id = e.account_id and g.gc_id = e.expunge_id and g.chunk = 0
cross join lateral unnest(e.blobs) with ordinality b(blob_id, nth);

delete from blob_gc g
using expunged e
where g.account_id = e.account_id and g.gc_id = e.expunge_id;

insert into blob_gc (account_id, gc_id, chunk, due, blobs)
select account_id, expunge_id, chunk, due, array_agg(blob_id)
from kept
group by account_id, expunge_id, chunk, due;

comment on table blob_refs is 'How many messages share a body, once it was more than one: those that can be restored, and what blob_gc has not counted off yet, too. No row means one.';
comment on table blob_gc is 'References to bodies to be counted off once due, one entry each: of expunged messages, at most 1,000 a row; and, until their message row is committed, of large deliveries. A body without references goes.';
comment on column blob_gc.gc_id is 'Of an expunge, its expunge_id: chunk / 10 is the chunk of its record. Of a delivery, the blob_id.';

-- The arrays of a record of thousands of messages are compressed while the client waits: by the faster method, where the
-- server has it.
-- +goose StatementBegin
do $$
declare
  col text;
begin
  foreach col in array array['uids', 'blobs', 'threads', 'idates', 'savedates', 'kws', 'sizes', 'hsizes', 'flags'] loop
    execute format('alter table expunged alter column %I set compression lz4', col);
  end loop;
exception when feature_not_supported then
  null;
end
$$;
-- +goose StatementEnd
