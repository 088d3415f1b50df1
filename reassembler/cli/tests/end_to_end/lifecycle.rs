//! `lifecycle --apply` against an S3 that keeps lifecycle rules.

use reassemble_testkit::moto::Moto;

use crate::programs::reassemble;

fn apply(moto: &Moto, args: &[&str]) -> String {
    let mut command = reassemble(["lifecycle", "--apply", "--to", "s3://bucket/cap"]);
    moto.configure(&mut command);
    let output = command.args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const RULES: &str = "print(sorted((r['ID'], r.get('Filter', {}).get('Prefix'), r.get('Expiration', {}).get('Days')) for r in s3.get_bucket_lifecycle_configuration(Bucket='bucket')['Rules']))";

#[test]
fn rules_are_merged_into_the_buckets_and_no_other_is_touched() {
    let moto = Moto::start();
    moto.python("s3.create_bucket(Bucket='bucket')");
    let first = apply(&moto, &[]);
    assert_eq!(first.matches("added").count(), 4, "{first}");
    let theirs = "{'ID': 'theirs', 'Status': 'Enabled', 'Filter': {'Prefix': 'tmp/'}, 'Expiration': {'Days': 3}}";
    moto.python(&format!(
        "r = s3.get_bucket_lifecycle_configuration(Bucket='bucket')['Rules'] + [{theirs}]\ns3.put_bucket_lifecycle_configuration(Bucket='bucket', LifecycleConfiguration={{'Rules': r}})"
    ));
    let again = apply(&moto, &["--retention", "14d"]);
    // The rule of the class that is no longer in use stays too: there may be objects of it.
    assert!(again.contains("2 other rules"), "{again}");
    let rules = moto.python(RULES);
    for rule in
        ["'theirs', 'tmp/', 3", "'cap/retention=14d/', 14", "'cap/retention=90d/', 90", "'cap/retention=7d/', 7"]
    {
        assert!(rules.contains(rule), "{rule} in {rules}");
    }
    assert_eq!(apply(&moto, &["--retention", "14d"]).matches("unchanged").count(), 4, "{rules}");
}
