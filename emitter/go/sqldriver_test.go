package reassemble

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// fakeDB is a database whose answers tests set. Its connections have no optional interface but what the fields of newConn's answer add.
type fakeDB struct {
	columns []string
	rows    [][]driver.Value
	fault   error
	asked   []string
	skips   bool
	newConn func(*fakeConn) driver.Conn
}

func (d *fakeDB) Connect(context.Context) (driver.Conn, error) { return d.newConn(&fakeConn{d}), nil }
func (d *fakeDB) Driver() driver.Driver                        { return nil }

type fakeConn struct{ db *fakeDB }

func (c *fakeConn) Prepare(query string) (driver.Stmt, error) { return &fakeStmt{c.db, query}, nil }
func (c *fakeConn) Close() error                              { return nil }
func (c *fakeConn) Begin() (driver.Tx, error)                 { return fakeTx{}, nil }

type fakeTx struct{}

func (fakeTx) Commit() error   { return nil }
func (fakeTx) Rollback() error { return nil }

// modernConn answers without preparing.
type modernConn struct{ *fakeConn }

func (c modernConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.db.skips {
		return nil, driver.ErrSkip
	}
	c.db.asked = append(c.db.asked, fmt.Sprint(query, len(args)))
	return driver.RowsAffected(3), c.db.fault
}

func (c modernConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.db.skips {
		return nil, driver.ErrSkip
	}
	c.db.asked = append(c.db.asked, fmt.Sprint(query, len(args)))
	return &fakeRows{c.db, 0}, c.db.fault
}

type fakeStmt struct {
	db    *fakeDB
	query string
}

func (s *fakeStmt) Close() error  { return nil }
func (s *fakeStmt) NumInput() int { return -1 }
func (s *fakeStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.db.asked = append(s.db.asked, fmt.Sprint("prepared ", s.query, args))
	return driver.ResultNoRows, s.db.fault
}
func (s *fakeStmt) Query(args []driver.Value) (driver.Rows, error) {
	s.db.asked = append(s.db.asked, fmt.Sprint("prepared ", s.query, args))
	return &fakeRows{s.db, 0}, s.db.fault
}

// fakeConvertingStmt is one of a driver that converts arguments by column.
type fakeConvertingStmt struct{ *fakeStmt }

func (fakeConvertingStmt) ColumnConverter(int) driver.ValueConverter { return driver.String }

type fakeRows struct {
	db *fakeDB
	at int
}

func (r *fakeRows) Columns() []string { return r.db.columns }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(row []driver.Value) error {
	if r.at == len(r.db.rows) {
		return io.EOF
	}
	copy(row, r.db.rows[r.at])
	r.at++
	return nil
}

func openFake(t *testing.T, d *fakeDB, options ...Option) (*sql.DB, *Emitter, *kept) {
	t.Helper()
	e, k := emit(t, options...)
	if d.newConn == nil {
		d.newConn = func(c *fakeConn) driver.Conn { return modernConn{c} }
	}
	db := sql.OpenDB(e.Connector(d, "postgres", "postgres://ann:pw@db/shop"))
	t.Cleanup(func() { must(t, db.Close()) })
	return db, e, k
}

func TestStatementsAndRowsAreCaptured(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := &fakeDB{columns: []string{"name", "token", "n", "at", "raw"}, rows: [][]driver.Value{
		{"té\"a", "s3cret", int64(1), at, []byte("text")}, {nil, nil, 2.5, true, []byte{0xff}},
	}}
	db, e, k := openFake(t, d)
	trace := drawTraceParent()
	ctx := WithTrace(context.Background(), trace, "c-1")
	rows, err := db.QueryContext(ctx, "select * from t where a = $1", "x")
	must(t, err)
	read := 0
	for rows.Next() {
		var name, token sql.NullString
		var n float64
		var seen any
		var raw []byte
		must(t, rows.Scan(&name, &token, &n, &seen, &raw))
		read++
	}
	must(t, rows.Err())
	equal(t, "rows", read, 2)
	closed(t, e)
	x := k.read().of("out", "postgres://db/shop")
	h := x.req.head
	equal(t, "head", h.Proto+h.Method+h.Trace+h.Parent, "postgresquery"+trace.String()+"c-1")
	equal(t, "request", string(x.req.body)+x.req.tail.said(), `{"statement":"select * from t where a = $1","parameters":["x"]}`+whole)
	equal(t, "response", string(x.res.body)+x.res.tail.said(), `{"name":"té\"a","token":"[redacted]","n":1,"at":"2026-01-02T03:04:05Z","raw":"text"}`+"\n"+
		`{"name":null,"token":"[redacted]","n":2.5,"at":true,"raw":"/w=="}`+"\n"+whole)
}

func TestOneRowIsAWholeResponse(t *testing.T) {
	db, e, k := openFake(t, &fakeDB{columns: []string{"n"}, rows: [][]driver.Value{{int64(1)}, {int64(2)}}})
	var n int
	must(t, db.QueryRow("select n from t").Scan(&n))
	closed(t, e)
	x := k.read().of("out", "shop")
	equal(t, "response", string(x.res.body)+x.res.tail.said(), "{\"n\":1}\n"+whole)
	equal(t, "request", string(x.req.body), `{"statement":"select n from t"}`)
}

func TestWhatADriverSkipsIsCapturedOnceAsPrepared(t *testing.T) {
	d := &fakeDB{columns: []string{"n"}, rows: [][]driver.Value{{int64(1)}}, skips: true}
	db, e, k := openFake(t, d)
	_, err := db.Exec("insert", 7)
	must(t, err)
	rows, err := db.Query("select")
	must(t, err)
	must(t, rows.Close())
	tx, err := db.Begin()
	must(t, err)
	must(t, tx.Commit())
	must(t, db.Ping())
	conn, err := db.Conn(context.Background())
	must(t, err)
	must(t, conn.Raw(func(wrapped any) error {
		_ = wrapped.(interface{ Unwrap() driver.Conn }).Unwrap().(modernConn)
		return nil
	}))
	must(t, conn.Close())
	if _, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true}); err == nil {
		t.Error("an old driver takes a read-only transaction")
	}
	closed(t, e)
	equal(t, "asked", strings.Join(d.asked, ", "), "prepared insert[7], prepared select[]")
	equal(t, "captures", len(k.read().exchanges), 2)
}

func TestFailedStatementsAndLongResultsAreTold(t *testing.T) {
	d := &fakeDB{fault: errors.New("no table")}
	db, e, k := openFake(t, d)
	if _, err := db.Exec("drop table t"); !errors.Is(err, d.fault) {
		t.Error(err)
	}
	d.fault = nil
	_, err := db.Exec("update t", sql.Named("pin", 1), sql.Named("password", "s3cret"))
	must(t, err)
	d.columns = []string{"text"}
	for range 100 {
		d.rows = append(d.rows, []driver.Value{strings.Repeat("x", 10_000)})
	}
	rows, err := db.Query("select long")
	must(t, err)
	read := 0
	for rows.Next() {
		read++
	}
	equal(t, "rows", read, 100)
	closed(t, e)
	said := make(map[string]string)
	for _, x := range k.read().exchanges {
		said[string(x.req.body)] = string(x.res.body) + x.res.tail.Error
	}
	equal(t, "failed", said[`{"statement":"drop table t"}`], "*errors.errorString")
	equal(t, "updated", said[`{"statement":"update t","parameters":{"pin":1,"password":"[redacted]"}}`], `{"rows_affected":3}`)
	equal(t, "long", said[`{"statement":"select long"}`], "redact_buffer")
}

// panicking is a value of the app's, which a driver may take.
type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("the app's") }

func TestValuesAreJSONWhateverTheyAre(t *testing.T) {
	for want, value := range map[string]any{
		`"a < b && \"c\""`: "a < b && \"c\"", `"é<"`: []byte("é<"), `"/w=="`: []byte{0xff}, "null": []byte(nil), "[1,2]": []int{1, 2},
		`{"A":"<"}`: struct{ A string }{"<"}, "1.5": 1.5,
	} {
		equal(t, want, string(appendJSON(nil, value)), want)
	}
	equal(t, "what JSON has not", string(appendJSON(nil, math.Inf(1))), "null")
	equal(t, "a fault", string(appendJSON(nil, panicking{})), "null")
}

func TestADriverThatConvertsByColumnStillDoes(t *testing.T) {
	d := &fakeDB{}
	d.newConn = func(c *fakeConn) driver.Conn { return convertingConn{c} }
	db, e, _ := openFake(t, d)
	_, err := db.Exec("insert", 7)
	must(t, err)
	closed(t, e)
	equal(t, "the argument is text", fmt.Sprintf("%q", d.asked), `["prepared insert[7 text]"]`)
	var off *Emitter
	equal(t, "without emitter", off.Connector(d, "", ""), driver.Connector(d))
}

type convertingConn struct{ *fakeConn }

func (c convertingConn) Prepare(query string) (driver.Stmt, error) {
	return textStmt{fakeConvertingStmt{&fakeStmt{c.db, query}}}, nil
}

// textStmt tells which arguments are texts.
type textStmt struct{ fakeConvertingStmt }

func (textStmt) NumInput() int { return 1 }

func (s textStmt) Exec(args []driver.Value) (driver.Result, error) {
	if text, ok := args[0].(string); ok {
		args[0] = text + " text"
	}
	return s.fakeConvertingStmt.Exec(args)
}
