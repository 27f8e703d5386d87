//! Telling the daemon of output that could not be kept.

use super::EventLoop;
use crate::{
    protocol::FromExecutor,
    stream::{Loss, Pump},
};

impl EventLoop {
    /// Tells of a container's losses, if there are news.
    pub(super) fn look_for_losses(&mut self, index: usize) {
        let vessel = &mut self.vessels[index];
        let open = [&vessel.stdout, &vessel.stderr].map(|pump| pump.as_ref().map(Pump::loss));
        let open = open.map(Option::unwrap_or_default);
        if let Some(loss) = vessel.losses.news(&open) {
            self.tell_of_loss(index, loss);
        }
    }

    /// Tells a daemon that just came of what goes on.
    pub(super) fn tell_of_losses(&mut self) {
        for index in 0..self.vessels.len() {
            if let Some(loss) = self.vessels[index].losses.lasting() {
                self.tell_of_loss(index, loss);
            }
        }
    }

    fn tell_of_loss(&mut self, index: usize, loss: Loss) {
        let agreed = self.connection.as_mut().filter(|daemon| daemon.is_agreed());
        let Some(connection) = agreed else {
            return;
        };
        connection.say(&FromExecutor::LogLoss {
            container: self.means.launch.containers[index].name.clone(),
            lost_bytes: loss.bytes,
            lasting: loss.lasting,
        });
    }
}
