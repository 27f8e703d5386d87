use super::*;
use model::{state::TaskState, time::Timestamp};
use uuid::Uuid;

const RUN: RunId = RunId {
    instance: Uuid::from_u128(7),
    incarnation: 2,
};

const HEADER: Header = Header {
    version: 1,
    run: RUN,
};

fn update(sequence: u64, message: &str) -> TaskUpdate {
    TaskUpdate {
        run: RUN,
        sequence,
        at: Timestamp::from_millis(1000),
        container: "web".to_owned(),
        state: TaskState::Running,
        reason: None,
        message: message.to_owned(),
        exit: None,
        healthy: None,
    }
}

/// The sequence numbers that are salvaged, and what is wrong.
fn salvaged(path: &Path) -> (Vec<u64>, String) {
    let salvaged = salvage(path, RUN).unwrap();
    let sequences = salvaged.updates.iter().map(|update| update.sequence);
    let damage = salvaged.damage.map(|damage| damage.to_string());
    (sequences.collect(), damage.unwrap_or_default())
}

fn sequences(path: &Path) -> Vec<u64> {
    let (sequences, damage) = salvaged(path);
    assert_eq!(damage, "");
    sequences
}

#[test]
fn what_is_appended_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    assert!(salvage(&path, RUN).is_none());
    let mut journal = Journal::create(&path, HEADER).unwrap();
    assert_eq!(sequences(&path), [0_u64; 0]);
    journal.append(&update(1, "line\nbreak")).unwrap();
    journal.append(&update(2, "")).unwrap();
    assert_eq!(
        salvage(&path, RUN).unwrap().updates[0],
        update(1, "line\nbreak")
    );
    assert_eq!(journal.next_after(1), Some(&update(2, "")));
    journal.acknowledge(1).unwrap();
    assert!(!journal.is_settled());
    journal.acknowledge(2).unwrap();
    assert!(journal.is_settled());
    assert!(Journal::create(&path, HEADER).is_err(), "a run begins once");
}

#[test]
fn a_cut_line_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    for cut in ["", "{\"version\":1"] {
        fs::write(&path, cut).unwrap();
        assert!(salvage(&path, RUN).is_none(), "no whole header");
    }
    fs::remove_file(&path).unwrap();
    let mut journal = Journal::create(&path, HEADER).unwrap();
    journal.append(&update(1, "")).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [whole.as_slice(), b"{\"run\":"].concat()).unwrap();
    assert_eq!(sequences(&path), [1]);
}

#[test]
fn what_is_damaged_tells_what_it_can_and_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::create(&path, HEADER).unwrap();
    journal.append(&update(1, "")).unwrap();
    let whole = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    let header = whole.lines().next().unwrap();
    let later = String::from_utf8(line(&update(2, ""))).unwrap();
    let stranger = RunId {
        incarnation: 3,
        ..RUN
    };
    let of_stranger = whole.replace(&RUN.to_string(), &stranger.to_string());
    let long = "x".repeat(usize::try_from(LIMIT_BYTES).unwrap());
    let cases: [(String, &[u64], &str); 9] = [
        (format!("{whole}nonsense\n{later}"), &[1], "line 3"),
        (format!("{whole}\u{0}\n{later}"), &[1], "line 3"),
        ("nonsense\n".to_owned(), &[], "does not begin as one"),
        ("\u{0}".repeat(4096), &[], "does not begin as one"),
        (of_stranger.clone(), &[], "it is of run"),
        (
            format!("{header}\n{}\n{later}", of_stranger.lines().nth(1).unwrap()),
            &[2],
            "it is of run",
        ),
        (
            format!("{{\"version\":2,\"of\":\"the future\"}}\n{later}"),
            &[],
            "it is of version 2",
        ),
        (whole.replacen(":1", ":0", 1), &[], "it is of version 0"),
        (format!("{whole}{long}"), &[1], "longer than"),
    ];
    for (text, expected, words) in cases {
        fs::write(&path, &text).unwrap();
        let (sequences, damage) = salvaged(&path);
        let head: String = text.chars().take(300).collect();
        assert_eq!(sequences, expected, "{head}: {damage}");
        assert!(damage.contains(words), "{head}: {damage}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let (_, damage) = salvaged(&path);
    assert!(damage.contains("read the journal"), "{damage}");
}

#[test]
fn what_the_disk_did_not_take_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::create(&path, HEADER).unwrap();
    journal.append(&update(1, "")).unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let file = std::mem::replace(&mut journal.file, full);
    for sequence in [2, 3] {
        assert!(journal.append(&update(sequence, "")).is_err());
    }
    assert!(journal.is_behind() && journal.catch_up().is_err());
    assert_eq!(journal.next_after(1).unwrap().sequence, 2, "it can be told");
    journal.file = file;
    journal.catch_up().unwrap();
    assert!(!journal.is_behind());
    assert_eq!(sequences(&path), [1, 2, 3]);
}

#[test]
fn the_size_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::create(&path, HEADER).unwrap();
    let long = "x".repeat(30_000);
    for sequence in 1..=10 {
        journal.append(&update(sequence, &long)).unwrap();
    }
    journal.acknowledge(8).unwrap();
    assert_eq!(sequences(&path), [9, 10], "acknowledged ones are gone");
    let mut sequence = 10;
    let full = loop {
        sequence += 1;
        if let Err(error) = journal.append(&update(sequence, &long)) {
            break error;
        }
    };
    assert!(matches!(full, JournalError::Full { .. }));
    assert!(fs::metadata(&path).unwrap().len() <= LIMIT_BYTES);
    assert!(
        journal.next_after(sequence - 1).is_some(),
        "it still can be told"
    );
    assert!(journal.is_behind());
    journal.acknowledge(sequence - 1).unwrap();
    assert!(!journal.is_behind(), "there was room in the shorter one");
    assert_eq!(sequences(&path), [sequence]);
}
