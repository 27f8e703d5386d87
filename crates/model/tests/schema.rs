//! What the schema refuses, and how it reads what it accepts.

use model::{
    pod::{self, ReadError, Settings},
    resources::MIB,
};
use serde_json::{Value, json};

/// A definition that is valid, with `value` put at `pointer`; its parents are made if missing.
fn with(pointer: &str, value: Value) -> Value {
    let mut pod = json!({
        "id": "/p",
        "containers": [{
            "name": "c",
            "resources": {"cpus": 0.1, "mem": 32},
            "endpoints": [{"name": "web", "hostPort": 0}]
        }]
    });
    let mut place = &mut pod;
    for part in pointer.split('/').skip(1) {
        place = match part.parse::<usize>() {
            Ok(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut().expect("an index into a list");
                list.resize(list.len().max(index + 1), Value::Null);
                &mut list[index]
            }
            Err(_) => {
                if place.is_null() {
                    *place = json!({});
                }
                let object = place.as_object_mut().expect("a name in an object");
                object.entry(part).or_insert(Value::Null)
            }
        };
    }
    *place = value;
    pod
}

/// A pointer, the value put there, and the paths and codes of everything wrong with it.
type Case = (String, Value, Vec<(&'static str, &'static str)>);

fn check(pointer: &str, value: Value, expected: &[(&str, &str)]) {
    let text = with(pointer, value.clone()).to_string();
    let Err(ReadError::Schema { violations }) = pod::read(text.as_bytes()) else {
        panic!("{pointer} = {value} is accepted");
    };
    let found: Vec<_> = violations
        .iter()
        .flat_map(|violation| {
            let errors = violation.errors.iter();
            errors.map(|error| (violation.path.as_str(), error.as_str()))
        })
        .collect();
    assert_eq!(found, expected, "{pointer} = {value}");
}

#[test]
fn refuses() {
    let c = "/containers/0";
    let at = |rest: &str| format!("{c}{rest}");
    let cases: Vec<Case> = vec![
        ("".into(), json!([]), vec![("/", "error.expected.jsobject")]),
        (
            "".into(),
            json!({}),
            vec![
                ("/id", "error.path.missing"),
                ("/containers", "error.path.missing"),
            ],
        ),
        (
            "/id".into(),
            json!(5),
            vec![("/id", "error.expected.jsstring")],
        ),
        (
            "/id".into(),
            json!(null),
            vec![("/id", "error.expected.jsstring")],
        ),
        ("/id".into(), json!(""), vec![("/id", "error.minLength")]),
        ("/id".into(), json!("/A b"), vec![("/id", "error.pattern")]),
        (
            "/containers".into(),
            json!([]),
            vec![("/containers", "error.minLength")],
        ),
        (
            "/containers".into(),
            json!({}),
            vec![("/containers", "error.expected.jsarray")],
        ),
        (
            "/containers/1".into(),
            json!(5),
            vec![("/containers(1)", "error.expected.jsobject")],
        ),
        (
            at("/name"),
            json!("Web"),
            vec![("/containers(0)/name", "error.pattern")],
        ),
        (
            at("/name"),
            json!("_app"),
            vec![("/containers(0)/name", "error.pattern")],
        ),
        (
            at("/name"),
            json!("-a"),
            vec![("/containers(0)/name", "error.pattern")],
        ),
        (
            at("/name"),
            json!("a".repeat(64)),
            vec![("/containers(0)/name", "error.maxLength")],
        ),
        (
            at("/resources"),
            json!(null),
            vec![("/containers(0)/resources", "error.expected.jsobject")],
        ),
        (
            at("/resources/cpus"),
            json!("1"),
            vec![("/containers(0)/resources/cpus", "error.expected.jsnumber")],
        ),
        (
            at("/resources/cpus"),
            json!(0.0005),
            vec![("/containers(0)/resources/cpus", "error.min")],
        ),
        (
            at("/resources/mem"),
            json!(0),
            vec![("/containers(0)/resources/mem", "error.min")],
        ),
        (
            at("/resources/mem"),
            json!(1e300),
            vec![("/containers(0)/resources/mem", "error.max")],
        ),
        (
            at("/resources/disk"),
            json!(-1),
            vec![("/containers(0)/resources/disk", "error.min")],
        ),
        (
            at("/resources/gpus"),
            json!(0.5),
            vec![("/containers(0)/resources/gpus", "error.expected.int")],
        ),
        (
            at("/resourceLimits/cpus"),
            json!("lots"),
            vec![(
                "/containers(0)/resourceLimits/cpus",
                "error.unknown.enum.literal",
            )],
        ),
        (
            at("/endpoints/0/hostPort"),
            json!(65536),
            vec![("/containers(0)/endpoints(0)/hostPort", "error.max")],
        ),
        (
            at("/endpoints/0/hostPort"),
            json!(-1),
            vec![("/containers(0)/endpoints(0)/hostPort", "error.min")],
        ),
        (
            at("/endpoints/0/protocol"),
            json!([]),
            vec![("/containers(0)/endpoints(0)/protocol", "error.minLength")],
        ),
        (
            at("/endpoints/0/labels/a"),
            json!(1),
            vec![(
                "/containers(0)/endpoints(0)/labels/a",
                "error.expected.jsstring",
            )],
        ),
        (
            at("/environment/bad variable name"),
            json!("x"),
            vec![(
                "/containers(0)/environment/bad variable name",
                "error.pattern",
            )],
        ),
        (
            at("/environment/1A"),
            json!("x"),
            vec![("/containers(0)/environment/1A", "error.pattern")],
        ),
        (
            at("/environment/A"),
            json!(1),
            vec![("/containers(0)/environment/A", "error.expected.jsstring")],
        ),
        (
            at("/environment/A"),
            json!({"secret": 1}),
            vec![(
                "/containers(0)/environment/A/secret",
                "error.expected.jsstring",
            )],
        ),
        (
            at("/exec"),
            json!({}),
            vec![("/containers(0)/exec/command", "error.path.missing")],
        ),
        (
            at("/exec/command"),
            json!({}),
            vec![
                ("/containers(0)/exec/command/shell", "error.path.missing"),
                ("/containers(0)/exec/command/argv", "error.path.missing"),
            ],
        ),
        (
            at("/exec/command/shell"),
            json!(""),
            vec![("/containers(0)/exec/command/shell", "error.minLength")],
        ),
        (
            at("/exec/command/argv"),
            json!([]),
            vec![("/containers(0)/exec/command/argv", "error.minLength")],
        ),
        (
            at("/exec/command/argv"),
            json!(["a", 1]),
            vec![(
                "/containers(0)/exec/command/argv(1)",
                "error.expected.jsstring",
            )],
        ),
        (
            at("/image"),
            json!({"kind": "APPC"}),
            vec![
                ("/containers(0)/image/kind", "error.unknown.enum.literal"),
                ("/containers(0)/image/id", "error.path.missing"),
            ],
        ),
        (
            at("/image"),
            json!({"kind": "docker", "id": "x".repeat(1025)}),
            vec![("/containers(0)/image/id", "error.maxLength")],
        ),
        (
            at("/healthCheck"),
            json!({"tcp": {"endpoint": "Web"}, "delaySeconds": -1}),
            vec![
                ("/containers(0)/healthCheck/tcp/endpoint", "error.pattern"),
                ("/containers(0)/healthCheck/delaySeconds", "error.min"),
            ],
        ),
        (
            at("/volumeMounts/0"),
            json!({"name": "v"}),
            vec![(
                "/containers(0)/volumeMounts(0)/mountPath",
                "error.path.missing",
            )],
        ),
        (
            at("/lifecycle/killGracePeriodSeconds"),
            json!(-0.5),
            vec![(
                "/containers(0)/lifecycle/killGracePeriodSeconds",
                "error.min",
            )],
        ),
        (
            at("/tty"),
            json!("yes"),
            vec![("/containers(0)/tty", "error.expected.jsboolean")],
        ),
        (
            at("/linuxInfo/ipcInfo"),
            json!({"mode": "PUBLIC"}),
            vec![(
                "/containers(0)/linuxInfo/ipcInfo/mode",
                "error.unknown.enum.literal",
            )],
        ),
        (
            "/volumes".into(),
            json!([{"name": "v", "host": 5}]),
            vec![("/volumes(0)/host", "error.expected.jsstring")],
        ),
        (
            "/volumes".into(),
            json!([{"name": "v", "persistent": {}}]),
            vec![("/volumes(0)/persistent/size", "error.path.missing")],
        ),
        (
            "/networks".into(),
            json!([{"mode": "mesh"}]),
            vec![("/networks(0)/mode", "error.unknown.enum.literal")],
        ),
        (
            "/networks".into(),
            json!([{"name": "a b"}]),
            vec![("/networks(0)/name", "error.pattern")],
        ),
        (
            "/scaling".into(),
            json!({"kind": "FIXED", "instances": 1}),
            vec![("/scaling/kind", "error.unknown.enum.literal")],
        ),
        (
            "/scaling".into(),
            json!({"kind": "fixed", "instances": -1}),
            vec![("/scaling/instances", "error.min")],
        ),
        (
            "/scaling".into(),
            json!({"kind": "fixed", "instances": 1e10}),
            vec![("/scaling/instances", "error.max")],
        ),
        (
            "/scheduling/backoff/backoff".into(),
            json!(-1),
            vec![("/scheduling/backoff/backoff", "error.min")],
        ),
        (
            "/scheduling/upgrade/maximumOverCapacity".into(),
            json!(1.1),
            vec![("/scheduling/upgrade/maximumOverCapacity", "error.max")],
        ),
        (
            "/scheduling/killSelection".into(),
            json!("random"),
            vec![("/scheduling/killSelection", "error.unknown.enum.literal")],
        ),
        (
            "/scheduling/restartPolicy".into(),
            json!("sometimes"),
            vec![("/scheduling/restartPolicy", "error.unknown.enum.literal")],
        ),
        (
            "/scheduling/unreachableStrategy".into(),
            json!(1),
            vec![("/scheduling/unreachableStrategy", "error.expected.jsobject")],
        ),
        (
            "/scheduling/placement/constraints".into(),
            json!([{"fieldName": "a", "operator": "NEAR"}]),
            vec![(
                "/scheduling/placement/constraints(0)/operator",
                "error.unknown.enum.literal",
            )],
        ),
        (
            "/executorResources/cpus".into(),
            json!(0.05),
            vec![("/executorResources/cpus", "error.min")],
        ),
        (
            "/executorResources/mem".into(),
            json!(31),
            vec![("/executorResources/mem", "error.min")],
        ),
        (
            "/secrets/a".into(),
            json!({"source": ""}),
            vec![("/secrets/a/source", "error.minLength")],
        ),
        (
            "/role".into(),
            json!(""),
            vec![("/role", "error.minLength")],
        ),
        (
            "/version".into(),
            json!("now"),
            vec![("/version", "error.expected.date.isoformat")],
        ),
    ];
    for (pointer, value, expected) in cases {
        check(&pointer, value, &expected);
    }
}

#[test]
fn tells_everything_at_once() {
    let text = json!({
        "id": 1,
        "user": 2,
        "containers": [{"name": "C", "image": {}}, 3],
        "scaling": {"kind": "fixed", "instances": "many"}
    });
    let error = pod::read(text.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.status(), 422);
    assert_eq!(
        serde_json::to_value(&error).unwrap(),
        json!({"message": "Invalid JSON", "details": [
            {"path": "/id", "errors": ["error.expected.jsstring"]},
            {"path": "/user", "errors": ["error.expected.jsstring"]},
            {"path": "/containers(0)/name", "errors": ["error.pattern"]},
            {"path": "/containers(0)/resources", "errors": ["error.path.missing"]},
            {"path": "/containers(0)/image/kind", "errors": ["error.path.missing"]},
            {"path": "/containers(0)/image/id", "errors": ["error.path.missing"]},
            {"path": "/containers(1)", "errors": ["error.expected.jsobject"]},
            {"path": "/scaling/instances", "errors": ["error.expected.jsnumber"]},
        ]})
    );
}

#[test]
fn texts_that_are_no_json_are_told_with_their_place() {
    let deep = "[".repeat(100_000);
    let cases: [(&[u8], &str, &str); 6] = [
        (
            b"",
            "Please specify data in JSON format",
            "EOF while parsing a value at line 1 column 0",
        ),
        (
            b" \n ",
            "Please specify data in JSON format",
            "EOF while parsing a value at line 2 column 1",
        ),
        (
            b"{\"id\": \"/p\",\n \"containers\": [",
            "Invalid JSON",
            "EOF while parsing a list at line 2 column 16",
        ),
        (
            b"{\"id\": '/p'}",
            "Invalid JSON",
            "expected value at line 1 column 8",
        ),
        (
            b"{\"id\": \"\xff\"}",
            "Invalid JSON",
            "invalid unicode code point at line 1 column 9",
        ),
        (
            deep.as_bytes(),
            "Invalid JSON",
            "recursion limit exceeded at line 1 column 128",
        ),
    ];
    for (text, message, details) in cases {
        let error = pod::read(text).unwrap_err();
        assert_eq!(error.status(), 400);
        let body = serde_json::to_value(&error).unwrap();
        assert_eq!(body, json!({"message": message, "details": details}));
    }
}

#[test]
fn reads_and_writes_in_canonical_form() {
    let canonical = |pointer: &str, value: Value| {
        let text = with(pointer, value).to_string();
        let reading =
            pod::read(text.as_bytes()).unwrap_or_else(|error| panic!("{pointer}: {error}"));
        let written = serde_json::to_value(&reading.definition).unwrap();
        (written, reading.ignored)
    };
    let none: &[&str] = &[];
    let two_volumes = json!([{"name": "v", "host": "h", "secret": "s"}]);
    let cases = [
        (
            "/containers/0/image",
            json!({"kind": "docker", "id": "i"}),
            json!({"kind": "DOCKER", "id": "i"}),
            none,
        ),
        (
            "/scheduling/killSelection",
            json!("Oldest_First"),
            json!("OLDEST_FIRST"),
            none,
        ),
        (
            "/scheduling/restartPolicy",
            json!("on_Failure"),
            json!("ON_FAILURE"),
            none,
        ),
        (
            "/scheduling/restartPolicy",
            json!("never"),
            json!("NEVER"),
            none,
        ),
        (
            "/scheduling/unreachableStrategy",
            json!("whatever"),
            json!("disabled"),
            none,
        ),
        (
            "/scheduling/unreachableStrategy",
            json!({}),
            json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}),
            none,
        ),
        (
            "/networks",
            json!([{"mode": "HOST"}]),
            json!([{"mode": "host"}]),
            none,
        ),
        (
            "/networks",
            json!([{}]),
            json!([{"mode": "container"}]),
            none,
        ),
        (
            "/scaling",
            json!({"kind": "fixed"}),
            json!({"kind": "fixed", "instances": 1}),
            none,
        ),
        (
            "/scaling",
            json!({"kind": "fixed", "instances": 2.0, "maxInstances": 3}),
            json!({"kind": "fixed", "instances": 2}),
            &["/scaling/maxInstances"],
        ),
        (
            "/executorResources",
            json!({"cpus": 1}),
            json!({"cpus": 1.0, "mem": 32.0, "disk": 10.0}),
            none,
        ),
        (
            "/containers/0/resources",
            json!({}),
            json!({"cpus": 1.0, "mem": 128.0, "disk": 0.0, "gpus": 0}),
            none,
        ),
        (
            "/containers/0/resourceLimits",
            json!({"cpus": "UNLIMITED", "mem": 64}),
            json!({"cpus": "unlimited", "mem": 64.0}),
            none,
        ),
        (
            "/containers/0/endpoints/0/containerPort",
            json!(0),
            json!(0),
            none,
        ),
        (
            "/containers/0/exec",
            json!({"command": {"shell": "a", "argv": ["b"]}}),
            json!({"command": {"shell": "a"}}),
            &["/containers(0)/exec/command/argv"],
        ),
        (
            "/containers/0/exec",
            json!({"command": {"shell": "", "argv": ["b"]}}),
            json!({"command": {"argv": ["b"]}}),
            &["/containers(0)/exec/command/shell"],
        ),
        (
            "/volumes",
            two_volumes,
            json!([{"name": "v", "secret": "s"}]),
            &["/volumes(0)/host"],
        ),
        (
            "/volumes",
            json!([{"name": "v", "host": null}]),
            json!([{"name": "v"}]),
            none,
        ),
        (
            "/scheduling/placement/constraints",
            json!([{"fieldName": "a", "operator": "unique"}, {"fieldName": "a", "operator": "UNIQUE", "value": null}]),
            json!([{"fieldName": "a", "operator": "UNIQUE"}]),
            none,
        ),
        (
            "/containers/0/healthCheck",
            json!({"http": {"endpoint": "web", "scheme": "https"}}),
            json!({"http": {"endpoint": "web", "scheme": "HTTPS"}, "gracePeriodSeconds": 300, "intervalSeconds": 60,
                "maxConsecutiveFailures": 3, "timeoutSeconds": 20, "delaySeconds": 15}),
            none,
        ),
        (
            "/containers/0/artifacts",
            json!([{"uri": "u"}]),
            json!([{"uri": "u", "extract": true, "executable": false, "cache": false}]),
            none,
        ),
        (
            "/containers/0/lifecycle",
            json!({"killGracePeriodSeconds": 1.5}),
            json!({"killGracePeriodSeconds": 1.5}),
            none,
        ),
    ];
    for (pointer, value, expected, ignored) in cases {
        let (written, found) = canonical(pointer, value);
        assert_eq!(written.pointer(pointer), Some(&expected), "{pointer}");
        assert_eq!(found, ignored, "{pointer}");
    }
    let dropped = [
        ("/legacySharedCgroups", json!(false)),
        ("/labels", json!({})),
        ("/networks", json!([])),
        ("/containers/0/tty", json!(null)),
        ("/containers/0/volumeMounts", json!(null)),
        ("/containers/0/dependsOn", json!([])),
        ("/scheduling/restartPolicy", json!("Always")),
    ];
    for (pointer, value) in dropped {
        assert_eq!(
            canonical(pointer, value).0.pointer(pointer),
            None,
            "{pointer}"
        );
    }
}

#[test]
fn writes_what_marathon_writes() {
    let text = r#"{"id":"/p","containers":[{"name":"c","resources":{"cpus":0.1,"mem":32}}]}"#;
    let reading = pod::admit(text.as_bytes(), &Settings::default()).unwrap();
    assert_eq!(
        reading.definition.containers[0].resources.mem_bytes,
        32 * MIB
    );
    assert_eq!(
        serde_json::to_value(&reading.definition).unwrap(),
        json!({
            "id": "/p",
            "containers": [{"name": "c", "resources": {"cpus": 0.1, "mem": 32.0, "disk": 0.0, "gpus": 0}}],
            "scaling": {"kind": "fixed", "instances": 1},
            "scheduling": {
                "backoff": {"backoff": 1.0, "backoffFactor": 1.15, "maxLaunchDelay": 300.0},
                "upgrade": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0},
                "placement": {},
                "killSelection": "YOUNGEST_FIRST",
                "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}
            },
            "executorResources": {"cpus": 0.1, "mem": 32.0, "disk": 10.0},
            "role": "*"
        })
    );
}

#[test]
fn pods_with_persistent_volumes_have_other_defaults() {
    let text = with(
        "/volumes",
        json!([{"name": "v", "persistent": {"size": 10}}]),
    )
    .to_string();
    let scheduling = pod::read(text.as_bytes()).unwrap().definition.scheduling;
    let written = serde_json::to_value(&scheduling).unwrap();
    assert_eq!(
        written["upgrade"],
        json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0})
    );
    assert_eq!(written["unreachableStrategy"], json!("disabled"));
}
