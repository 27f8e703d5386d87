//! marathon-python: its readers fail on anything that Marathon does not say.

use std::{fs, process::Command};

use e2e::{host::Host, needs_root, python::Environment};

use crate::Said;

const SCRIPT: &str = r#"
import json, sys, threading, urllib.request
from marathon import MarathonClient

url, token = sys.argv[1:3]
client = MarathonClient(url, auth_token=token, timeout=30)
for session in (client.session, client.sse_session):
    session.headers['Authorization'] = 'token=' + token
# It asks for JSON.
assert client.ping() == b'"pong"', client.ping()
assert client.get_info().name == 'marathon'
assert client.list_apps() == []
assert client.list_queue() == []
assert client.get_leader()['leader']

POD = {'id': '/p', 'networks': [{'mode': 'host'}], 'containers': [{
    'name': 'c', 'exec': {'command': {'shell': 'exec sleep 1000'}}, 'resources': {'cpus': 0.1, 'mem': 32}}]}

def send(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {'Authorization': 'token=' + token, 'Content-Type': 'application/json'}
    return urllib.request.urlopen(urllib.request.Request(url + path, data, headers, method=method)).read()

# Not those of deployments: it wants them as they were before Marathon 1.8.
wanted = ['event_stream_attached', 'pod_created_event', 'group_change_success', 'instance_changed_event', 'status_update_event']
events = client.event_stream(event_types=wanted)
seen = [next(events)]
assert seen[0].event_type == 'event_stream_attached', seen
send('POST', '/v2/pods', POD)
for event in events:
    seen.append(event)
    if event.event_type == 'instance_changed_event' and event.condition == 'Running':
        break
assert seen[-1].run_spec_id == '/p', seen[-1]
kinds = {event.event_type for event in seen}
assert kinds == set(wanted), kinds
# A single group it reads only as it was before Marathon 1.9.
assert client.list_groups() == [], client.list_groups()

huge = dict(POD, id='/huge')
huge['containers'] = [dict(POD['containers'][0], resources={'cpus': 0.1, 'mem': 1e9})]
send('POST', '/v2/pods', huge)
deployment, = client.list_deployments()
assert deployment.affected_pods == ['/huge'], deployment
assert deployment.current_actions[0].pod == '/huge'
print('all well')
"#;

#[test]
fn every_reader_understands_what_is_said() {
    needs_root!();
    let environment = e2e::python!(Environment::of("marathon", &["marathon==0.13.0"]));
    let host = Host::start();
    let script = host.directory().join("client.py");
    fs::write(&script, SCRIPT).unwrap();
    let said: Said = Command::new(environment.program("python"))
        .arg(&script)
        .args([format!("http://{}", host.tcp()), host.token()])
        .output()
        .unwrap()
        .into();
    assert!(
        said.code == Some(0) && said.stdout == "all well\n",
        "{said:?}\n{}",
        host.log_tail()
    );
}
