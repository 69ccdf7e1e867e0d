CREATE TABLE goods(id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, price REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
	INSERT INTO goods SELECT i, i * 7919 % 997, printf('article %d of kind %d', i, i % 31), i * 0.5 FROM n;
CREATE INDEX by_kind ON goods(kind, name);
UPDATE goods SET name = upper(name) || ' ' || kind WHERE id % 3 = 0;
SELECT 'sum', count(*), sum(length(names)) FROM (SELECT group_concat(name) AS names FROM goods GROUP BY kind);
SELECT 'sum', count(*), sum(length(a.name)) FROM goods a JOIN goods b ON b.kind = a.id WHERE b.id % 5 = 0;
DELETE FROM goods WHERE id % 2 = 0;
DROP TABLE goods;
