package reassemble

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// begin begins the capture of a statement that was run: a driver may skip one, which database/sql then runs in another way.
func (c *sqlConn) begin(
	ctx context.Context, began time.Time, operation, query string, args []driver.NamedValue,
) *capture {
	e := c.target.emitter
	l := linkOf(ctx)
	start := &line.RequestHead{
		Dir: "out", Proto: c.target.proto, Method: operation, URL: c.target.url, Headers: flatten(jsonHeaders()), Parent: l.id,
	}
	started := e.begin(drawID(began), began, l.trace, start, func() string { return endpointOf(operation, pathOf(c.target.url)) })
	if started != nil {
		started.body(request, statementJSON(query, args))
		started.end(request, nil)
	}
	return started
}

// exec captures a statement that gives no rows.
func (c *sqlConn) exec(
	ctx context.Context, query string, args []driver.NamedValue, run func() (driver.Result, error),
) (driver.Result, error) {
	began := time.Now()
	result, err := run()
	if errors.Is(err, driver.ErrSkip) {
		return result, err
	}
	started := c.begin(ctx, began, "exec", query, args)
	switch {
	case err != nil:
		started.failSQL(err)
	case started != nil:
		started.respond(&line.ResponseHead{Status: line.Status{Text: "ok"}, Headers: flatten(jsonHeaders())})
		if rows, err := result.RowsAffected(); err == nil {
			started.body(response, fmt.Appendf(nil, `{"rows_affected":%d}`, rows))
		}
		started.end(response, nil)
	}
	return result, err
}

// failSQL ends a statement's capture with its SQLSTATE, where the server gave one, and never with what the server says, which may hold values.
func (c *capture) failSQL(err error) {
	if c == nil {
		return
	}
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		c.respond(&line.ResponseHead{Status: line.Status{Text: coded.SQLState()}})
	}
	c.fail(response, kindOf(err))
}

// ask captures a statement that gives rows, as they are read.
func (c *sqlConn) ask(
	ctx context.Context, query string, args []driver.NamedValue, run func() (driver.Rows, error),
) (driver.Rows, error) {
	began := time.Now()
	rows, err := run()
	if errors.Is(err, driver.ErrSkip) {
		return rows, err
	}
	started := c.begin(ctx, began, "query", query, args)
	switch {
	case err != nil:
		started.failSQL(err)
		return rows, err
	case started == nil:
		return rows, nil
	}
	headers := []line.Pair{{Name: "Content-Type", Value: "application/x-ndjson"}}
	started.respond(&line.ResponseHead{Status: line.Status{Text: "ok"}, Headers: headers})
	return &sqlRows{Rows: rows, capture: started}, nil
}

// sqlRows captures rows as they are read.
type sqlRows struct {
	driver.Rows
	capture *capture
	// columns are those of the result set under way.
	columns []string
	row     []byte
}

func (r *sqlRows) Next(row []driver.Value) error {
	err := r.Rows.Next(row)
	switch {
	case err == nil:
		r.pass(row)
	case errors.Is(err, io.EOF):
		if !r.HasNextResultSet() {
			r.capture.end(response, nil)
		}
	default:
		r.capture.failSQL(err)
	}
	return err
}

// pass captures a row. The driver may use its bytes again for the next.
func (r *sqlRows) pass(row []driver.Value) {
	if !r.capture.takes(response) {
		r.capture.lose(response)
		return
	}
	if r.columns == nil {
		r.columns = r.Rows.Columns()
	}
	r.row = appendRow(r.row[:0], r.columns, row)
	r.capture.body(response, r.row)
}

// Close ends the capture with what was read: who asks for one row reads no more.
func (r *sqlRows) Close() error {
	err := r.Rows.Close()
	if err != nil {
		r.capture.failSQL(err)
	} else {
		r.capture.end(response, nil)
	}
	return err
}

func (r *sqlRows) HasNextResultSet() bool {
	next, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && next.HasNextResultSet()
}

func (r *sqlRows) NextResultSet() error {
	if next, ok := r.Rows.(driver.RowsNextResultSet); ok {
		r.columns = nil
		return next.NextResultSet()
	}
	return io.EOF
}

func (r *sqlRows) ColumnTypeScanType(at int) reflect.Type {
	if typed, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return typed.ColumnTypeScanType(at)
	}
	return reflect.TypeFor[any]()
}

func (r *sqlRows) ColumnTypeDatabaseTypeName(at int) string {
	if typed, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return typed.ColumnTypeDatabaseTypeName(at)
	}
	return ""
}

func (r *sqlRows) ColumnTypeLength(at int) (length int64, ok bool) {
	if typed, ok := r.Rows.(driver.RowsColumnTypeLength); ok {
		return typed.ColumnTypeLength(at)
	}
	return 0, false
}

func (r *sqlRows) ColumnTypeNullable(at int) (nullable, ok bool) {
	if typed, ok := r.Rows.(driver.RowsColumnTypeNullable); ok {
		return typed.ColumnTypeNullable(at)
	}
	return false, false
}

func (r *sqlRows) ColumnTypePrecisionScale(at int) (precision, scale int64, ok bool) {
	if typed, ok := r.Rows.(driver.RowsColumnTypePrecisionScale); ok {
		return typed.ColumnTypePrecisionScale(at)
	}
	return 0, 0, false
}

// statementJSON is a statement with its arguments: a list, or an object where they have names.
func statementJSON(query string, args []driver.NamedValue) []byte {
	out := appendJSON([]byte(`{"statement":`), query)
	if len(args) > 0 {
		out = append(out, `,"parameters":`...)
		open, closing := byte('['), byte(']')
		if args[0].Name != "" {
			open, closing = '{', '}'
		}
		for at, arg := range args {
			if at > 0 {
				open = ','
			}
			out = append(out, open)
			if closing == '}' {
				out = append(appendJSON(out, arg.Name), ':')
			}
			out = appendJSON(out, arg.Value)
		}
		out = append(out, closing)
	}
	return append(out, '}')
}

// appendRow appends a row as an object of its columns, on a line of its own.
func appendRow(out []byte, columns []string, row []driver.Value) []byte {
	open := byte('{')
	for at, column := range columns {
		out = append(appendJSON(append(out, open), column), ':')
		out = appendJSON(out, row[at])
		open = ','
	}
	if len(columns) == 0 {
		out = append(out, '{')
	}
	return append(out, '}', '\n')
}

// appendJSON appends one value. Bytes are text where they are UTF-8, as many drivers give text so, and else base64.
func appendJSON(out []byte, value any) []byte {
	switch value := value.(type) {
	case string:
		return line.AppendString(out, value)
	case []byte:
		if value != nil && utf8.Valid(value) {
			return line.AppendString(out, string(value))
		}
	}
	return append(out, marshal(value)...)
}

// marshal gives null for what JSON has not, such as infinity. Where a driver takes types of the app, their faults are not the app's to see.
func marshal(value any) (text []byte) {
	defer func() {
		if recover() != nil {
			text = []byte("null")
		}
	}()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) != nil {
		return []byte("null")
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
