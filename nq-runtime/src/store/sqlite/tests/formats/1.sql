-- A file of format 1, as `.dump` writes it.
PRAGMA application_id = 1852928884;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE arrivals (
    run INTEGER NOT NULL, worker TEXT NOT NULL, by TEXT NOT NULL, side INTEGER NOT NULL,
    n INTEGER NOT NULL, ms INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (run, worker, by, side, n)
) WITHOUT ROWID;
CREATE TABLE entries (
    run INTEGER NOT NULL, n INTEGER NOT NULL, ms INTEGER NOT NULL, type TEXT NOT NULL,
    step TEXT, attempt INTEGER, data TEXT NOT NULL, crc INTEGER NOT NULL
);
INSERT INTO "entries" VALUES(1,1,1795635748601,'flow.started',NULL,NULL,'{"event":"begin","input":"dead","registryHash":"0","trigger":"manual"}',3525410759);
INSERT INTO "entries" VALUES(1,2,1795635748611,'flow.step.started','a@1795635748601-1',1,'{"instance":"one"}',2618334818);
INSERT INTO "entries" VALUES(1,3,1795635748620,'flow.failed',NULL,NULL,'{"durationMs":19,"error":"no","failedStep":"a"}',3773585056);
INSERT INTO "entries" VALUES(2,1,1795635748623,'flow.started',NULL,NULL,'{"event":"begin","input":"r","registryHash":"0","trigger":"manual"}',570939597);
INSERT INTO "entries" VALUES(2,2,1795635748627,'flow.step.started','a@1795635748623-1',1,'{"instance":"one"}',1262228307);
INSERT INTO "entries" VALUES(2,3,1795635748639,'event.emitted','a@1795635748623-1',1,'{"name":"e","op":"1","payload":"r","to":["b"]}',1770070600);
INSERT INTO "entries" VALUES(2,4,1795635748639,'flow.step.completed','a@1795635748623-1',1,'{}',776463956);
CREATE TABLE flows (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO "flows" VALUES(1,'f');
CREATE TABLE gathered (
    run INTEGER NOT NULL, worker TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (run, worker, n)
) WITHOUT ROWID;
CREATE TABLE gathers (
    run INTEGER NOT NULL, worker TEXT NOT NULL, rank INTEGER NOT NULL, spec INTEGER NOT NULL,
    count INTEGER NOT NULL, fired INTEGER NOT NULL, PRIMARY KEY (run, worker)
) WITHOUT ROWID;
INSERT INTO "gathers" VALUES(2,'g',0,2,1,2);
CREATE TABLE instances (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    store TEXT, at_ms INTEGER NOT NULL DEFAULT 0, lane TEXT
);
INSERT INTO "instances" VALUES(1,'one','b1986531676d3010',1795635748639,'{"number":4,"at_ms":1795635748639,"answers":[{"Committed":{"last":"1795635748639-4"}}],"renewed":[],"leased":[]}');
CREATE TABLE jobs (
    run INTEGER NOT NULL, worker TEXT NOT NULL, n INTEGER NOT NULL, ms INTEGER NOT NULL,
    queue INTEGER NOT NULL, state INTEGER NOT NULL, at INTEGER NOT NULL, holder INTEGER,
    spec INTEGER NOT NULL, fence INTEGER NOT NULL, earlier INTEGER NOT NULL, failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL, read INTEGER, recorded INTEGER NOT NULL, inputs TEXT NOT NULL, error TEXT, PRIMARY KEY (run, worker, n)
) WITHOUT ROWID;
INSERT INTO "jobs" VALUES(1,'a',1,1795635748601,1,3,0,NULL,1,1,0,1,0,1,0,'[{"id":"1795635748601-1","key":""}]','no');
INSERT INTO "jobs" VALUES(2,'b',3,1795635748639,2,0,1,NULL,3,0,0,0,0,NULL,0,'[{"id":"1795635748639-3","key":"key"}]',NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('nq','0.1.0');
CREATE TABLE queues (
    key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, paused INTEGER NOT NULL DEFAULT 0,
    queued INTEGER NOT NULL DEFAULT 0, leased INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "queues" VALUES(1,'f/a',0,0,0,0,1);
INSERT INTO "queues" VALUES(2,'f/b',0,1,0,0,0);
CREATE TABLE removed (run INTEGER PRIMARY KEY);
CREATE TABLE runs (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, flow INTEGER NOT NULL, status INTEGER NOT NULL,
    started_ms INTEGER NOT NULL, ended_ms INTEGER, last_ms INTEGER NOT NULL, last_n INTEGER NOT NULL,
    pending INTEGER NOT NULL);
INSERT INTO "runs" VALUES(1,'dead',1,2,1795635748601,1795635748620,1795635748620,3,0);
INSERT INTO "runs" VALUES(2,'r',1,0,1795635748623,NULL,1795635748639,4,1);
CREATE TABLE specs (key INTEGER PRIMARY KEY, spec TEXT NOT NULL UNIQUE);
INSERT INTO "specs" VALUES(1,'{"worker":"a","queue":"f/a","holds":[],"max_crashes":5,"on_failure":"fail"}');
INSERT INTO "specs" VALUES(2,'{"worker":"g","queue":"f/g","holds":[],"max_crashes":5,"on_failure":"fail"}');
INSERT INTO "specs" VALUES(3,'{"worker":"b","queue":"f/b","holds":["g"],"max_crashes":5,"on_failure":"fail"}');
CREATE INDEX runs_of_flow ON runs (flow, status);
CREATE INDEX runs_ended ON runs (status, ended_ms) WHERE ended_ms IS NOT NULL;
CREATE UNIQUE INDEX entries_of_run ON entries (run, n);
CREATE INDEX snapshots_of_run ON entries (run, n) WHERE type = 'state.snapshot';
CREATE INDEX jobs_queued ON jobs (queue, at) WHERE state = 0;
CREATE INDEX jobs_leased ON jobs (holder, at) WHERE state = 1;
CREATE INDEX jobs_delayed ON jobs (at) WHERE state = 2;
CREATE INDEX jobs_dead ON jobs (queue) WHERE state = 3;
COMMIT;
