//! What is stored opens in the tools that people have: `zcat` with `jq`, and DuckDB over the tree with its hive partitions.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::programs::{reassemble, run};

/// Stores the sample log; gives where, and what it is known to hold.
fn sample() -> (TempDir, PathBuf, Value) {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs");
    let log = logs.join("shop.plain.log");
    let expected = serde_json::from_slice(&std::fs::read(logs.join("expected.json")).unwrap()).unwrap();
    let mut command = reassemble(["--inline-body", "2KiB", "--to"]);
    command.arg(&captures).arg(log);
    let (code, _, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    (dir, captures, expected)
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn zcat_and_jq_read_it() {
    let (_dir, captures, expected) = sample();
    let script = "find . -name '*.ndjson.gz' -not -path '*/.*/*' | xargs zcat | jq -r 'select(.complete) | .response.status' | sort | uniq -c | awk '{n+=$1} END {print n}'";
    assert_eq!(
        printed(Command::new("sh").args(["-c", script]).current_dir(&captures)),
        expected["complete"].to_string()
    );
}

#[test]
fn duckdb_reads_the_tree_with_its_partitions() {
    let (_dir, captures, expected) = sample();
    let python =
        std::env::var("REASSEMBLE_TEST_PYTHON").expect("REASSEMBLE_TEST_PYTHON: a python with duckdb; run ./test");
    let script = "
import duckdb
rows = duckdb.sql(\"\"\"
    select retention, service, count(*) as n, sum(complete::int), min(date::varchar), max(len(request.url)) > 0
    from read_json('**/*.ndjson.gz', format='newline_delimited', hive_partitioning=true, union_by_name=true)
    group by all order by all\"\"\").fetchall()
print(sum(row[2] for row in rows), sum(row[3] for row in rows), sorted({row[0] for row in rows}), sorted({row[1] for row in rows}), {row[4] for row in rows})
";
    let got = printed(Command::new(python).args(["-c", script]).current_dir(&captures));
    let (complete, incomplete) = (expected["complete"].as_u64().unwrap(), expected["incomplete"].as_u64().unwrap());
    let partitions = "['30d', '7d', '90d'] ['catalog', 'checkout', 'storefront'] {'2026-11-22'}";
    assert_eq!(got, format!("{} {complete} {partitions}", complete + incomplete));
}
