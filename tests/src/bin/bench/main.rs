//! `bench`: what a pod costs here, and beside it what the same work costs with `crun` and `podman`.
//!
//! The work is a pod of three small containers. The clock is the payload's own: its first act is to append the
//! monotonic time to a file on the pod's volume, so no tool's word is taken for "running", and a container is gone
//! when its pidfd says so. Contestants take turns, in an order that is shuffled in every round. Each is in a
//! cgroup of its own, which tells what all of it spent and finds all of it at the end.

mod cgroups;
mod clock;
mod commits;
mod contestant;
mod crun;
mod figures;
mod machine;
mod monopod;
mod oci_config;
mod options;
mod place;
mod podman;
mod processes;
mod report;
mod round;
mod scale;
mod workload;

use std::{io::Write as _, process::ExitCode, sync::OnceLock};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{contestant::Kind, figures::Samples, machine::Machine, options::Options, place::Place};

/// What everything of this run is below; a panic and Ctrl-C must find it too.
static PLACE: OnceLock<Place> = OnceLock::new();

fn main() -> ExitCode {
    let options = Options::parse().effective();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: failed to {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "run pods: only root can"
    );
    sweep_at_the_end()?;
    let place = PLACE.get_or_init(Place::choose);
    let result = place.prepare().and_then(|()| {
        let contest = compete(options, place)?;
        let scale = (options.scale > 0).then(|| scale::measure(place, options));
        Ok((contest, scale.transpose()?))
    });
    place.sweep();
    let ((machine, samples), scale) = result?;
    let mut out = std::io::stdout().lock();
    let scale_table = scale.as_ref().map(scale::Scale::table);
    let tables = [
        (options.rounds > 0).then(|| report::table(&machine, &samples, options)),
        scale_table,
    ];
    for table in tables.into_iter().flatten() {
        writeln!(out, "{table}").context("print the table")?;
    }
    if let Some(file) = &options.json {
        let mut json = report::json(&machine, &samples, options);
        json["scale"] = scale.as_ref().map(scale::Scale::json).into();
        let text = json.to_string();
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Nothing is left behind on a signal or a panic either. Signals are handled and not blocked: programs that are
/// started would inherit a blocked SIGTERM.
fn sweep_at_the_end() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("get ready for signals")?;
    std::thread::spawn(move || {
        if runtime.block_on(interrupted()).is_ok() {
            eprintln!("bench: interrupted, removes what it made");
            abandon(130);
        }
    });
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        abandon(101);
    }));
    Ok(())
}

async fn interrupted() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

#[expect(
    clippy::exit,
    reason = "other threads are in the middle of a measurement"
)]
fn abandon(code: i32) -> ! {
    if let Some(place) = PLACE.get() {
        place.abandon();
    }
    std::process::exit(code)
}

/// All rounds of all contestants that are here.
fn compete(options: &Options, place: &'static Place) -> anyhow::Result<(Machine, Samples)> {
    let mut machine = Machine::look();
    let mut samples = Samples::default();
    let mut standing = Vec::new();
    for kind in options.contestants() {
        match kind.version(place) {
            Ok(version) => {
                machine.versions.insert(kind, version);
                standing.push(kind);
            }
            Err(error) => samples.miss(kind, format!("not here: {error:#}")),
        }
    }
    anyhow::ensure!(
        !standing.is_empty(),
        "measure anything: {}",
        samples.missing_text()
    );
    for number in 1..=options.rounds {
        shuffle(&mut standing);
        for kind in standing.clone() {
            let load = machine::load();
            eprintln!(
                "round {number} of {}: {kind} (load {load:.1})",
                options.rounds
            );
            machine.loads.push(load);
            let result = round::in_a_room(kind, place, options, &mut samples);
            place::stop_if_ending();
            if let Err(error) = result {
                samples.miss(kind, format!("round {number}: failed to {error:#}"));
                standing.retain(|other| *other != kind);
            }
            place.cgroups.kill(kind);
        }
    }
    Ok((machine, samples))
}

/// So that what is going on beside hits now one, now the other.
fn shuffle(kinds: &mut [Kind]) {
    for end in (1..kinds.len()).rev() {
        let mut random = [0u8; 1];
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        kinds.swap(end, usize::from(random[0]) % (end + 1));
    }
}
