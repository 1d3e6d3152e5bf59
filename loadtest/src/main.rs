//! `loadtest`: the mock provider, load scenarios, the comparison with other proxies, kill and disconnect loops.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use clap::{Parser, Subcommand};
use sluice_loadtest::mock::{self, MockOptions};

#[derive(Parser)]
#[command(name = "loadtest", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the mock provider
    Mock {
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:9090")]
        listen: std::net::SocketAddr,
        #[command(flatten)]
        options: MockOptions,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match cli.command {
        Command::Mock { listen, options } => runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            println!("mock provider on http://{}", listener.local_addr()?);
            mock::serve(listener, options).await?;
            Ok(())
        }),
    }
}
