//! A control plane in a process of its own: the program starts itself again for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Says to a program that it is the child, and in which directory.
const CHILD: &str = "SLUICE_CONTROL_PLANE_CHILD";

/// What `main` begins with: `true` if this process was the control plane, and it has ended.
pub(crate) fn was() -> bool {
    let Some(data) = std::env::var_os(CHILD) else {
        return false;
    };
    run(&data);
    true
}

/// Until it is killed, or its parent closes its input.
fn run(data: &OsStr) {
    let data = PathBuf::from(data);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = sluice_controlplane::Options {
        config_file: Some(data.join("sluice.hujson")),
        data_dir: data,
        ..sluice_controlplane::Options::default()
    };
    let (closed, on_close) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = closed.send(());
    });
    let shutdown = async {
        let _ = on_close.await;
    };
    runtime
        .block_on(sluice_controlplane::run(options, shutdown))
        .expect("the control plane runs");
}

pub(crate) struct Control {
    pub(crate) process: Child,
}

impl Control {
    /// With the document `sluice.hujson` of a data directory.
    pub(crate) fn start(data: &Path) -> Self {
        let process = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, data)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        drop(self.process.stdin.take());
        assert!(
            self.process.wait().unwrap().success(),
            "a control plane that is told to stop, stops"
        );
    }
}
