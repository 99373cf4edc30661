//! The same loads on tokio-postgres directly: one thread, prepared statements, pipelined, rows read and dropped. What a
//! client in Node.js could reach if JavaScript cost nothing.
//!
//!   PGPASSWORD=... hyperiondb-bench-limit '<connection string>' <task> <size> <connections> <in flight>
//!                  <warm-up seconds> <seconds> <statement>...
//!
//! Prints one line of JSON with the names of bench/types.d.ts. On stderr it says "measuring" and "measured" when that begins and ends,
//! so that others can look at their clocks.

use std::cell::RefCell;
use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

/// What `bench/loads.js` calls a load, by its statements and parameters.
#[derive(Clone, Copy)]
enum Task {
    /// One parameter, one row.
    Point,
    /// One parameter, a hundred rows.
    Rows,
    /// No parameter, all rows; an operation is a row.
    All,
    /// Five parameters, no row.
    Insert,
    /// BEGIN, three statements, COMMIT.
    Transaction,
    /// The same, COMMIT in the flight of the third statement.
    TransactionCommit,
}

impl Task {
    fn named(name: &str) -> Result<Self, Failure> {
        Ok(match name {
            "point" => Self::Point,
            "rows" => Self::Rows,
            "all" => Self::All,
            "insert" => Self::Insert,
            "transaction" => Self::Transaction,
            "transaction-commit" => Self::TransactionCommit,
            _ => return Err(format!("no task '{name}'").into()),
        })
    }
}

struct Arguments {
    config: Config,
    task: Task,
    size: u64,
    connections: usize,
    in_flight: usize,
    warmup: Duration,
    time: Duration,
    statements: Vec<String>,
}

impl Arguments {
    fn read() -> Result<Self, Failure> {
        let mut given = std::env::args().skip(1);
        let mut next = || given.next().ok_or("too few arguments");
        let mut config: Config = next()?.parse()?;
        config.password(std::env::var("PGPASSWORD").unwrap_or_default());
        Ok(Self {
            config,
            task: Task::named(&next()?)?,
            size: next()?.parse()?,
            connections: next()?.parse()?,
            in_flight: next()?.parse()?,
            warmup: Duration::from_secs_f64(next()?.parse()?),
            time: Duration::from_secs_f64(next()?.parse()?),
            statements: given.collect(),
        })
    }
}

struct Lane {
    client: Client,
    statements: Vec<Statement>,
}

/// What the workers share; they all run on this thread.
struct Shared {
    next: u64,
    progress: Progress,
    units: u64,
    latencies: Vec<f64>,
}

/// What counts lies between two ends of operations, so that a large result counts as a whole.
enum Progress {
    WarmingUp { until: Instant },
    Measuring { since: Instant, cpu_us: Option<f64> },
    Done { time: Duration, cpu_us: Option<f64> },
}

impl Shared {
    fn finished(&mut self, started: Instant, units: u64, time: Duration) {
        let now = Instant::now();
        match self.progress {
            Progress::WarmingUp { until } if now >= until => {
                eprintln!("measuring");
                self.progress = Progress::Measuring { since: now, cpu_us: cpu_us() };
            }
            Progress::Measuring { since, cpu_us: before } => {
                self.units += units;
                self.latencies.push((now - started).as_secs_f64() * 1e3);
                if now - since >= time {
                    let cpu_us = cpu_us().zip(before).map(|(after, before)| after - before);
                    self.progress = Progress::Done { time: now - since, cpu_us };
                    eprintln!("measured");
                }
            }
            Progress::WarmingUp { .. } | Progress::Done { .. } => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let lanes = try_join_all((0..arguments.connections).map(|_| open(&arguments))).await?;
    let shared = RefCell::new(Shared {
        next: 0,
        progress: Progress::WarmingUp { until: Instant::now() + arguments.warmup },
        units: 0,
        latencies: Vec::new(),
    });
    try_join_all((0..arguments.in_flight).map(|n| work(&arguments, &lanes[n % lanes.len()], &shared))).await?;
    println!("{}", report(&shared.into_inner())?);
    Ok(())
}

async fn open(arguments: &Arguments) -> Result<Lane, Failure> {
    let (client, connection) = arguments.config.connect(NoTls).await?;
    tokio::spawn(connection);
    let statements = try_join_all(arguments.statements.iter().map(|sql| client.prepare(sql))).await?;
    Ok(Lane { client, statements })
}

async fn work(arguments: &Arguments, lane: &Lane, shared: &RefCell<Shared>) -> Result<(), Failure> {
    loop {
        let n = {
            let mut shared = shared.borrow_mut();
            if matches!(shared.progress, Progress::Done { .. }) {
                return Ok(());
            }
            shared.next += 1;
            shared.next - 1
        };
        let started = Instant::now();
        let units = operation(arguments, lane, n).await?;
        shared.borrow_mut().finished(started, units, arguments.time);
    }
}

/// A walk over `0..size` that looks random: the one of `bench/loads.js`.
fn scattered(n: u64, size: u64) -> u64 {
    ((n * 7919) % 1_000_003) % size
}

async fn operation(arguments: &Arguments, lane: &Lane, n: u64) -> Result<u64, Failure> {
    let Lane { client, statements } = lane;
    let id = (1 + scattered(n, arguments.size)) as i32;
    match arguments.task {
        Task::Point => expect(rows(client, &statements[0], &[&id]).await?, 1),
        Task::Rows => expect(rows(client, &statements[0], &[&id]).await?, 100).map(|_| 1),
        Task::All => expect(rows(client, &statements[0], &[]).await?, arguments.size),
        Task::Insert => {
            let owner = (n % arguments.size) as i32;
            let (name, note) = (format!("customer number {n}"), format!("note for {n}"));
            let note = (!n.is_multiple_of(5)).then_some(note);
            let (amount, active) = (n as f64 / 7.0, n.is_multiple_of(2));
            expect(client.execute(&statements[0], &[&owner, &name, &amount, &active, &note]).await?, 1)
        }
        Task::Transaction => expect(transaction(lane, id, Ending::OfItsOwn).await?, 1),
        Task::TransactionCommit => expect(transaction(lane, id, Ending::WithTheLast).await?, 1),
    }
}

/// When COMMIT is sent.
enum Ending {
    OfItsOwn,
    WithTheLast,
}

/// Each client has one worker here, so statements of two transactions cannot mix. BEGIN costs no round trip.
async fn transaction(Lane { client, statements }: &Lane, id: i32, ending: Ending) -> Result<u64, Failure> {
    let params: [&(dyn ToSql + Sync); 1] = [&id];
    let select = rows(client, &statements[0], &params);
    let begin = async { Ok(client.batch_execute("BEGIN").await?) };
    let ((), found) = tokio::try_join!(begin, select)?;
    client.execute(&statements[1], &[&1_i64, &id]).await?;
    let last: [&(dyn ToSql + Sync); 2] = [&id, &1_i32];
    let last = client.execute(&statements[2], &last);
    match ending {
        Ending::OfItsOwn => {
            last.await?;
            client.batch_execute("COMMIT").await?;
        }
        Ending::WithTheLast => {
            // Polled in this order, so sent in this order.
            tokio::try_join!(last, client.batch_execute("COMMIT"))?;
        }
    }
    Ok(found)
}

async fn rows(client: &Client, statement: &Statement, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
    let stream = client.query_raw(statement, params.iter().copied()).await?;
    pin_mut!(stream);
    let mut count = 0;
    while stream.try_next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn expect(count: u64, expected: u64) -> Result<u64, Failure> {
    if count == expected { Ok(count) } else { Err(format!("{count} rows instead of {expected}").into()) }
}

fn report(shared: &Shared) -> Result<String, Failure> {
    let Progress::Done { time, cpu_us } = shared.progress else { return Err("ended too early".into()) };
    let mut sorted = shared.latencies.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((sorted.len() as f64 * share) as usize).copied().unwrap_or_default();
    let mut fields = vec![
        ("operations", shared.units as f64),
        ("opsPerSecond", shared.units as f64 / time.as_secs_f64()),
        ("p50Ms", at(0.5)),
        ("p99Ms", at(0.99)),
    ];
    fields.extend(cpu_us.map(|us| ("cpuUsPerOp", us / shared.units as f64)));
    fields.extend(peak_rss_mb().map(|mb| ("peakRssMb", mb)));
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    Ok(format!("{{{}}}", fields.join(",")))
}

/// CPU time of this thread, which is all there is; Linux tells in ns.
fn cpu_us() -> Option<f64> {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(schedstat.split(' ').next()?.parse::<f64>().ok()? / 1e3)
}

fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
