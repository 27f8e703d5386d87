//! The executor and everything it does to run a pod on this host.
//!
//! Two sides live here. The daemon's side is `containerizer`: it prepares a run (directories, cgroups, the
//! [`launch::Launch`] message) and spawns an executor. The executor's side is `executor`: one single-threaded
//! process per run that makes the pod's namespaces, creates its containers through libcontainer, starts and
//! reaps them, and tells what it saw by its journal and the [`protocol`].
//!
//! `unsafe` code is in `sys` alone. No SQL, no decision between runs, no async runtime.

pub mod boot;
pub mod cgroup;
pub mod cleanup;
mod container;
pub mod containerizer;
pub mod executor;
pub mod image;
pub mod journal;
pub mod keeper;
pub mod launch;
pub mod layout;
pub mod mountinfo;
pub mod pod;
pub mod prepare;
pub mod probe;
pub mod protocol;
pub mod rootfs;
pub mod seccomp;
pub mod spec;
pub mod stream;
pub mod sys;
pub mod user;
