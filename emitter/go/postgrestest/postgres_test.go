package postgrestest

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"

	reassemble "github.com/reassemble/reassemble/emitter/go"
)

// drivers give each driver's connector for a URL.
var drivers = map[string]func(url string) (driver.Connector, error){
	"lib/pq": func(url string) (driver.Connector, error) { return pq.NewConnector(url + "?sslmode=disable") },
	"pgx": func(url string) (driver.Connector, error) {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		return stdlib.GetConnector(*config), nil
	},
}

// kept is an output in memory.
type kept struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (k *kept) Write(text []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(text)
}

// captured is what a capture says of one statement.
type captured struct {
	Method, Request, Response, Status, Error, Parent, Trace string
	Truncated                                               bool
}

// read gives the captures in the order in which they began.
func (k *kept) read(t *testing.T) []captured {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []captured
	at := make(map[string]int)
	for text := range bytes.Lines(k.b.Bytes()) {
		var line struct {
			Cap1, Part, Text, B64 string
			Head                  struct{ Method, Status, Parent, Trace string }
			Tail                  struct {
				Error     string
				Truncated bool
			}
		}
		must(t, json.Unmarshal(text, &line))
		if line.Part == "meta" {
			continue
		}
		n, begun := at[line.Cap1]
		if !begun {
			n = len(all)
			at[line.Cap1] = n
			all = append(all, captured{})
		}
		c := &all[n]
		if line.Part == "req" {
			c.Request += line.Text
			c.Method += line.Head.Method
			c.Parent += line.Head.Parent
			c.Trace += line.Head.Trace
			continue
		}
		c.Response += line.Text
		c.Status += line.Head.Status
		c.Error += line.Tail.Error
		c.Truncated = c.Truncated || line.Tail.Truncated
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// each runs a test with every driver, a database whose statements are captured, and one whose are not.
func each(t *testing.T, test func(t *testing.T, db, plain *sql.DB, captures func() []captured)) {
	url := os.Getenv("POSTGRES_URL")
	if url == "" {
		t.Skip("POSTGRES_URL is not set")
	}
	for name, connect := range drivers {
		t.Run(name, func(t *testing.T) {
			connector, err := connect(url)
			must(t, err)
			k := &kept{}
			e, err := reassemble.New(reassemble.OutputWriter(k))
			must(t, err)
			db, plain := sql.OpenDB(e.Connector(connector, "postgres", url)), sql.OpenDB(connector)
			// Temporary tables are of one connection.
			db.SetMaxOpenConns(1)
			defer plain.Close()
			test(t, db, plain, func() []captured {
				t.Helper()
				must(t, db.Close())
				must(t, e.Close())
				equal(t, "lost lines", e.Counts().LostLines, 0)
				return k.read(t)
			})
		})
	}
}

func TestStatementsWithArgumentsAndTheirRowsAreCaptured(t *testing.T) {
	each(t, func(t *testing.T, db, _ *sql.DB, captures func() []captured) {
		_, err := db.Exec("create temporary table items (id int, name text, price numeric, raw bytea, at timestamptz, password text)")
		must(t, err)
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		result, err := db.Exec("insert into items values ($1, $2, $3, $4, $5, $6), (2, null, null, null, null, null)",
			1, "té\"a", 1.5, []byte{0xff}, at, "s3cret")
		must(t, err)
		affected, err := result.RowsAffected()
		must(t, err)
		equal(t, "affected", affected, 2)
		ctx := reassemble.WithTrace(context.Background(), traceParent(t), "c-1")
		rows, err := db.QueryContext(ctx, "select id, name, raw, password from items where id < $1 order by id", 10)
		must(t, err)
		var read []string
		for rows.Next() {
			var id int
			var name, password sql.NullString
			var raw []byte
			must(t, rows.Scan(&id, &name, &raw, &password))
			read = append(read, fmt.Sprintf("%d %q %x %q", id, name.String, raw, password.String))
		}
		must(t, rows.Err())
		equal(t, "rows", strings.Join(read, "; "), `1 "té\"a" ff "s3cret"; 2 ""  ""`)
		all := captures()
		if len(all) != 3 {
			t.Fatalf("%+v", all)
		}
		equal(t, "create", all[0].Method+all[0].Status+all[0].Response+all[0].Error, `execok{"rows_affected":0}`)
		equal(t, "insert", all[1].Response+all[1].Error, `{"rows_affected":2}`)
		if !strings.Contains(all[1].Request, `"parameters":[1,"té\"a",1.5,"/w==","2026-01-02T03:04:05Z","s3cret"]`) {
			t.Errorf("arguments: %s", all[1].Request)
		}
		equal(t, "query", all[2].Method+all[2].Request, `query{"statement":"select id, name, raw, password from items where id < $1 order by id","parameters":[10]}`)
		equal(t, "result", all[2].Response+all[2].Status+all[2].Error, `{"id":1,"name":"té\"a","raw":"/w==","password":"[redacted]"}`+"\n"+
			`{"id":2,"name":null,"raw":null,"password":"[redacted]"}`+"\nok")
		equal(t, "link", all[2].Parent+" "+all[2].Trace, "c-1 "+traceParent(t).String())
	})
}

func traceParent(t *testing.T) reassemble.TraceParent {
	t.Helper()
	trace, ok := reassemble.ParseTraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if !ok {
		t.Fatal("no trace")
	}
	return trace
}

func TestPreparedStatementsAreCapturedEachTimeTheyRun(t *testing.T) {
	each(t, func(t *testing.T, db, _ *sql.DB, captures func() []captured) {
		stmt, err := db.Prepare("select $1::int + 1 as n")
		must(t, err)
		for n := range 3 {
			var next int
			must(t, stmt.QueryRow(n).Scan(&next))
			equal(t, "next", next, n+1)
		}
		must(t, stmt.Close())
		nothing, err := db.Prepare("select set_config('application_name', $1, false)")
		must(t, err)
		_, err = nothing.Exec("shop")
		must(t, err)
		must(t, nothing.Close())
		all := captures()
		if len(all) != 4 {
			t.Fatalf("%+v", all)
		}
		for n, c := range all[:3] {
			equal(t, "request", c.Method+c.Request, fmt.Sprintf(`query{"statement":"select $1::int + 1 as n","parameters":[%d]}`, n))
			equal(t, "response", c.Response+c.Error, fmt.Sprintf("{\"n\":%d}\n", n+1))
		}
		equal(t, "exec", all[3].Method+all[3].Response, `exec{"rows_affected":1}`)
	})
}

func TestTransactionsRunAsWithoutTheEmitter(t *testing.T) {
	each(t, func(t *testing.T, db, plain *sql.DB, captures func() []captured) {
		table := "t" + fmt.Sprint(time.Now().UnixNano())
		_, err := plain.Exec("create table " + table + " (n int)")
		must(t, err)
		defer plain.Exec("drop table " + table)
		ctx := context.Background()
		for n, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
			must(t, err)
			var level string
			must(t, tx.QueryRow("show transaction_isolation").Scan(&level))
			equal(t, "isolation", level, "serializable")
			_, err = tx.Exec("insert into "+table+" values ($1)", n)
			must(t, err)
			must(t, end(tx))
		}
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		must(t, err)
		if _, err := tx.Exec("insert into " + table + " values (7)"); err == nil {
			t.Error("a read-only transaction wrote")
		}
		must(t, tx.Rollback())
		var count int
		must(t, plain.QueryRow("select count(*) from "+table).Scan(&count))
		equal(t, "committed", count, 1)
		all := captures()
		equal(t, "captures", len(all), 5)
		if last := all[len(all)-1]; last.Error != "25006" || !last.Truncated || last.Response != "" {
			t.Errorf("%+v", last)
		}
	})
}

func TestErrorsReachTheAppAndTheCapture(t *testing.T) {
	each(t, func(t *testing.T, db, plain *sql.DB, captures func() []captured) {
		_, err := db.Query("select * from nowhere")
		_, plainErr := plain.Query("select * from nowhere")
		if err == nil || fmt.Sprintf("%T %v", err, err) != fmt.Sprintf("%T %v", plainErr, plainErr) {
			t.Errorf("got %T %v, want %T %v", err, err, plainErr, plainErr)
		}
		// The first row comes, then the statement fails.
		rows, err := db.Query("select 1 / (2 - n) as n from generate_series(1, 2) as n")
		for err == nil && rows.Next() {
		}
		if err == nil {
			err = rows.Err()
		}
		if err == nil {
			t.Error("a division by zero went well")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, timedOut := db.ExecContext(ctx, "select pg_sleep(60)")
		if timedOut == nil {
			t.Fatal("a time-out went well")
		}
		must(t, db.Ping())
		all := captures()
		if len(all) != 3 {
			t.Fatalf("%+v", all)
		}
		for n, want := range []string{"42P01", "22012", ""} {
			if !strings.Contains(all[n].Error, want) || !all[n].Truncated {
				t.Errorf("%q is not in %+v", want, all[n])
			}
		}
		if told := all[2].Error; told != "57014" && told != "context deadline exceeded" {
			t.Errorf("a time-out is told as %q", told)
		}
	})
}

func TestALongResultIsReadWholeAndItsCaptureBounded(t *testing.T) {
	each(t, func(t *testing.T, db, _ *sql.DB, captures func() []captured) {
		rows, err := db.Query("select n, repeat('x', 1000) as text from generate_series(1, 5000) as n")
		must(t, err)
		read := 0
		for rows.Next() {
			var n int
			var text string
			must(t, rows.Scan(&n, &text))
			read += len(text)
		}
		must(t, rows.Err())
		equal(t, "bytes", read, 5_000_000)
		rows, err = db.Query("select n from generate_series(1, 5000) as n")
		must(t, err)
		rows.Next()
		must(t, rows.Close())
		all := captures()
		equal(t, "long", fmt.Sprintf("%q %s %t", all[0].Response, all[0].Error, all[0].Truncated), `"" redact_buffer true`)
		equal(t, "first row", all[1].Response+all[1].Error, "{\"n\":1}\n")
	})
}

func TestColumnTypesAreTheDrivers(t *testing.T) {
	each(t, func(t *testing.T, db, plain *sql.DB, captures func() []captured) {
		describe := func(db *sql.DB) string {
			rows, err := db.Query("select 1::int4 as a, 'x'::varchar(7) as b, 1.5::numeric(6, 2) as c, null::timestamptz as d, array[1, 2] as e")
			must(t, err)
			defer rows.Close()
			types, err := rows.ColumnTypes()
			must(t, err)
			var out []string
			for _, column := range types {
				length, hasLength := column.Length()
				precision, scale, hasScale := column.DecimalSize()
				nullable, hasNullable := column.Nullable()
				out = append(out, fmt.Sprint(column.Name(), column.DatabaseTypeName(), column.ScanType(), length, hasLength, precision, scale, hasScale,
					nullable, hasNullable))
			}
			return strings.Join(out, "\n")
		}
		equal(t, "types", describe(db), describe(plain))
		captures()
	})
}

func TestWhatADriverAloneTakesItStillTakes(t *testing.T) {
	each(t, func(t *testing.T, db, _ *sql.DB, captures func() []captured) {
		list, want := any([]int{1, 2, 3}), "[1,2,3]"
		if strings.HasSuffix(t.Name(), "pq") {
			list, want = pq.Array(list), `"{1,2,3}"`
		}
		var sum int
		must(t, db.QueryRow("select sum(n) from unnest($1::int[]) as n", list).Scan(&sum))
		equal(t, "sum", sum, 6)
		all := captures()
		equal(t, "request", all[0].Request, `{"statement":"select sum(n) from unnest($1::int[]) as n","parameters":[`+want+`]}`)
	})
}

func TestACopyOfManyRowsRuns(t *testing.T) {
	each(t, func(t *testing.T, db, _ *sql.DB, captures func() []captured) {
		if !strings.HasSuffix(t.Name(), "pq") {
			t.Skip("others copy past database/sql")
		}
		_, err := db.Exec("create temporary table copied (n int, name text)")
		must(t, err)
		tx, err := db.Begin()
		must(t, err)
		stmt, err := tx.Prepare(pq.CopyIn("copied", "n", "name"))
		must(t, err)
		for n := range 100 {
			_, err := stmt.Exec(n, "name")
			must(t, err)
		}
		_, err = stmt.Exec()
		must(t, err)
		must(t, stmt.Close())
		must(t, tx.Commit())
		var count int
		must(t, db.QueryRow("select count(*) from copied").Scan(&count))
		equal(t, "rows", count, 100)
		equal(t, "captures", len(captures()), 103)
	})
}
