// What BullMQ on Node does in `cargo xtask bench peers`.
//
// Called as `node bullmq.mjs WORKLOAD AT SECONDS STORE`; it measures once and prints one line of JSON, by the same rules
// as `measure.rs` beside it.
//
// Set up as its documentation recommends for speed: a local concurrency factor, and several workers in processes of
// their own ("This is the recommended way to setup BullMQ", docs.bullmq.io/guide/workers/concurrency), one for each core
// but the one that Redis needs: a process more takes more processor time for each job and is no faster. Finished jobs are
// removed at once (docs.bullmq.io/guide/workers/auto-removal-of-jobs); bulk adding
// (docs.bullmq.io/guide/queues/adding-bulks). Chains and fan-outs are its flows (docs.bullmq.io/guide/flows): a parent
// waits for its children, so the last step of a chain is the root. What adds jobs is this process; the workers are
// forked from it and report to it what they have finished, every two milliseconds.

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { FlowProducer, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const QUEUE = 'bench';
const PAD = 'x'.repeat(200);
const PARTS = 10;
const PICKUP_RATE = 200;
const KEPT_RUNS = 2000;
const WARM_UP = 3000;
const BULK = 500;
const REPORT_MS = 2;

const nanos = () => Number(process.hrtime.bigint());
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const [workload, at, seconds, store] = process.argv.slice(2);
const url = new URL(store);
// What its documentation says of the connections of workers.
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const options = workload === 'kept' ? {} : { removeOnComplete: true };

function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

// One of the processes that run jobs.
async function work(concurrency) {
  let done = 0;
  let endedAt = 0;
  let waits = [];
  const finished = () => {
    done += 1;
    endedAt = nanos();
  };
  const handle = async (job) => {
    switch (job.name) {
      case 'job':
        waits.push(nanos() - job.data.at);
        finished();
        return null;
      case 'third':
        finished();
        return null;
      case 'part':
        return job.data.number;
      case 'gather': {
        const values = Object.values(await job.getChildrenValues());
        finished();
        return values.reduce((sum, value) => sum + value, 0);
      }
      default:
        return null;
    }
  };
  const worker = new Worker(QUEUE, handle, { connection, concurrency, autorun: false });
  worker.on('error', (error) => {
    console.error(`error: ${error}`);
    process.exit(1);
  });
  await worker.waitUntilReady();
  setInterval(() => {
    if (done > 0) {
      process.send({ done, endedAt });
      done = 0;
    }
  }, REPORT_MS);
  process.on('message', async ({ ask }) => {
    if (ask === 'run') worker.run();
    if (ask === 'cpu') process.send({ cpuUs: cpuUs() });
    if (ask === 'waits') {
      process.send({ waits });
      waits = [];
    }
    if (ask === 'stop') {
      await worker.close();
      process.exit(0);
    }
  });
  process.on('disconnect', () => process.exit(0));
  process.send({ ready: true });
}

// The processes that run jobs, seen from the one that adds them.
class Workers {
  constructor(count) {
    this.done = 0;
    this.endedAt = 0;
    this.answers = [];
    this.onProgress = () => {};
    this.children = [];
    const most = Math.max(1, Math.min(availableParallelism() - 1, count));
    for (let index = 0; index < most; index += 1) {
      const share = Math.floor(count / most) + (index < count % most ? 1 : 0);
      const env = { ...process.env, BENCH_CONCURRENCY: String(share) };
      const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2), { env });
      child.on('exit', (code) => code && process.exit(1));
      child.on('message', (message) => this.heard(message));
      this.children.push(child);
    }
  }

  heard(message) {
    if (message.done === undefined) {
      this.answers.push(message);
      this.onAnswer?.();
      return;
    }
    this.done += message.done;
    this.endedAt = Math.max(this.endedAt, message.endedAt);
    this.onProgress(message.done);
  }

  async answered() {
    while (this.answers.length < this.children.length) {
      await new Promise((resolve) => {
        this.onAnswer = resolve;
      });
    }
    return this.answers.splice(0);
  }

  tell(ask) {
    for (const child of this.children) child.send({ ask });
  }

  async ask(what) {
    this.tell(what);
    return this.answered();
  }

  async cpuUs() {
    const answers = await this.ask('cpu');
    return answers.reduce((sum, answer) => sum + answer.cpuUs, cpuUs());
  }

  async until(count) {
    while (this.done < count) {
      await new Promise((resolve) => {
        const before = this.onProgress;
        this.onProgress = (more) => {
          before(more);
          this.onProgress = before;
          resolve();
        };
      });
    }
    this.done = 0;
  }

  async stop() {
    const gone = this.children.map((child) => new Promise((resolve) => child.on('exit', resolve)));
    this.tell('stop');
    await Promise.all(gone);
  }
}

const redis = new Redis(connection);
const field = (info, name) => Number(info.match(new RegExp(`^${name}:([0-9.]+)`, 'm'))?.[1] ?? 0);

async function serverUs() {
  const info = await redis.info('cpu');
  return (field(info, 'used_cpu_sys') + field(info, 'used_cpu_user')) * 1e6;
}

// What the server holds, once it has counted anew what its connections need: it does so every second.
async function bytes() {
  await sleep(1500);
  const info = await redis.info('memory');
  return field(info, 'used_memory') - field(info, 'mem_clients_normal');
}

// Measures `jobs` jobs that `act` lets happen.
async function measured(workers, jobs, act) {
  const server = await serverUs();
  const client = await workers.cpuUs();
  const began = nanos();
  await act();
  await workers.until(jobs);
  const took = (workers.endedAt - began) / 1e9;
  const clientUs = ((await workers.cpuUs()) - client) / jobs;
  return { done: jobs, seconds: took, clientUs, serverUs: ((await serverUs()) - server) / jobs };
}

const forSeconds = (warm) => Math.max(100, Math.floor((warm.done / warm.seconds) * seconds));

async function main() {
  const places = Number(at);
  const queue = new Queue(QUEUE, { connection, defaultJobOptions: options });
  const flows = new FlowProducer({ connection });
  const add = () => queue.add('job', { at: nanos(), pad: PAD });
  const step = (name, data, children) => ({ name, queueName: QUEUE, data, opts: options, children });
  const payload = () => ({ at: nanos(), pad: PAD });
  const starts = {
    chain: () => flows.add(step('third', payload(), [step('second', payload(), [step('first', payload())])])),
    fan: () => {
      const parts = Array.from({ length: PARTS }, (_, number) => step('part', { number, pad: PAD }));
      return flows.add(step('gather', {}, parts));
    },
  };

  const drain = async (jobs) => {
    for (let left = jobs; left > 0; left -= BULK) {
      const count = Math.min(left, BULK);
      await queue.addBulk(Array.from({ length: count }, () => ({ name: 'job', data: payload() })));
    }
    const workers = new Workers(places);
    await workers.answered();
    const figures = await measured(workers, jobs, async () => workers.tell('run'));
    await workers.stop();
    return figures;
  };

  // Everything else runs beside workers that are there.
  const beside = async (act) => {
    const workers = new Workers(places);
    await workers.answered();
    workers.tell('run');
    await sleep(100);
    const figures = await act(workers);
    await workers.stop();
    return figures;
  };

  const live = (workers, jobs) =>
    measured(workers, jobs, async () => {
      let added = 0;
      const adding = async () => {
        while (added < jobs) {
          added += 1;
          await add();
        }
      };
      await Promise.all(Array.from({ length: places }, adding));
    });

  const pickup = (workers, jobs) =>
    measured(workers, jobs, async () => {
      const began = nanos();
      const adds = [];
      for (let index = 0; index < jobs; index += 1) {
        const due = began + (index * 1e9) / PICKUP_RATE;
        if (due > nanos()) await sleep((due - nanos()) / 1e6);
        adds.push(add());
      }
      await Promise.all(adds);
    });

  const runs = (workers, start, count) =>
    measured(workers, count, async () => {
      let begun = 0;
      const begin = (free) => {
        for (; free > 0 && begun < count; free -= 1) {
          begun += 1;
          start();
        }
      };
      workers.onProgress = begin;
      begin(places);
    });

  switch (workload) {
    case 'drain':
      return drain(forSeconds(await drain(WARM_UP)));
    case 'live':
      return beside(async (workers) => live(workers, forSeconds(await live(workers, WARM_UP))));
    case 'pickup':
      return beside(async (workers) => {
        await pickup(workers, 200);
        await workers.ask('waits');
        const figures = await pickup(workers, PICKUP_RATE * seconds);
        const waits = (await workers.ask('waits')).flatMap((answer) => answer.waits);
        waits.sort((a, b) => a - b);
        const part = (part) => waits[Math.floor((waits.length - 1) * part)] / 1e3;
        return { ...figures, p50Us: part(0.5), p99Us: part(0.99) };
      });
    case 'chain':
    case 'fan':
      return beside(async (workers) => {
        const warm = await runs(workers, starts[workload], WARM_UP / 4);
        return runs(workers, starts[workload], forSeconds(warm));
      });
    case 'kept': {
      const before = await bytes();
      const figures = await beside((workers) => runs(workers, starts.chain, KEPT_RUNS));
      return { ...figures, bytes: Math.max(0, ((await bytes()) - before) / KEPT_RUNS) };
    }
    default:
      throw new Error(`there is no workload \`${workload}\``);
  }
}

if (process.env.BENCH_CONCURRENCY) {
  redis.disconnect();
  await work(Number(process.env.BENCH_CONCURRENCY));
} else {
  console.log(JSON.stringify(await main()));
  process.exit(0);
}
