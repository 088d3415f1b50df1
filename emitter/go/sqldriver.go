package reassemble

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// Connector gives a database/sql connector whose statements are captured: sql.OpenDB(e.Connector(base, "postgres", "postgres://db/shop")).
// proto is the protocol as captures name it, and url the database; userinfo leaves it.
//
// A capture's request is the statement with its arguments as one JSON object, its response one JSON object a row, or one that tells of the
// rows affected; what stands under listed names is redacted by column. The statement's trace and parent are those of the context.
// Beginning and ending transactions is not captured. The connection that sql.Conn.Raw gives is one around the driver's, which its method
// Unwrap gives.
func (e *Emitter) Connector(base driver.Connector, proto, url string) driver.Connector {
	if e.isOff() {
		return base
	}
	return &sqlConnector{Connector: base, target: sqlTarget{e, proto, url}}
}

// sqlTarget is where statements go.
type sqlTarget struct {
	emitter    *Emitter
	proto, url string
}

type sqlConnector struct {
	driver.Connector
	target sqlTarget
}

// Connect connects.
func (c *sqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &sqlConn{Conn: conn, target: c.target}, nil
}

// Close is what sql.DB.Close asks of connectors that can be closed.
func (c *sqlConnector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// sqlConn is a connection. Where the driver's lacks an optional interface, it answers as database/sql takes the lack; interfaces that
// only older drivers have are asked too.
type sqlConn struct {
	driver.Conn
	target sqlTarget
}

// Unwrap gives the driver's own connection.
func (c *sqlConn) Unwrap() driver.Conn { return c.Conn }

func (c *sqlConn) Ping(ctx context.Context) error {
	if pinger, ok := c.Conn.(driver.Pinger); ok {
		return pinger.Ping(ctx)
	}
	return nil
}

func (c *sqlConn) ResetSession(ctx context.Context) error {
	if resetter, ok := c.Conn.(driver.SessionResetter); ok {
		return resetter.ResetSession(ctx)
	}
	return nil
}

func (c *sqlConn) IsValid() bool {
	validator, ok := c.Conn.(driver.Validator)
	return !ok || validator.IsValid()
}

func (c *sqlConn) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

func (c *sqlConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *sqlConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var stmt driver.Stmt
	var err error
	if preparer, ok := c.Conn.(driver.ConnPrepareContext); ok {
		stmt, err = preparer.PrepareContext(ctx, query)
	} else if stmt, err = c.Conn.Prepare(query); err == nil && ctx.Err() != nil {
		stmt.Close()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	wrapped := &sqlStmt{Stmt: stmt, conn: c, query: query}
	if converter, ok := stmt.(driver.ColumnConverter); ok {
		return &convertingSQLStmt{wrapped, converter}, nil
	}
	return wrapped, nil
}

func (c *sqlConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if beginner, ok := c.Conn.(driver.ConnBeginTx); ok {
		return beginner.BeginTx(ctx, options)
	}
	if options.Isolation != 0 {
		return nil, errors.New("sql: driver does not support non-default isolation level")
	}
	if options.ReadOnly {
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	tx, err := c.Conn.Begin()
	if err == nil && ctx.Err() != nil {
		tx.Rollback()
		return nil, ctx.Err()
	}
	return tx, err
}

func (c *sqlConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	var exec func() (driver.Result, error)
	if execer, ok := c.Conn.(driver.ExecerContext); ok {
		exec = func() (driver.Result, error) { return execer.ExecContext(ctx, query, args) }
	} else if execer, ok := c.Conn.(driver.Execer); ok {
		exec = func() (driver.Result, error) {
			values, err := plainValues(ctx, args)
			if err != nil {
				return nil, err
			}
			return execer.Exec(query, values)
		}
	} else {
		// What database/sql prepares then is captured as a prepared statement.
		return nil, driver.ErrSkip
	}
	return c.exec(ctx, query, args, exec)
}

func (c *sqlConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var ask func() (driver.Rows, error)
	if queryer, ok := c.Conn.(driver.QueryerContext); ok {
		ask = func() (driver.Rows, error) { return queryer.QueryContext(ctx, query, args) }
	} else if queryer, ok := c.Conn.(driver.Queryer); ok {
		ask = func() (driver.Rows, error) {
			values, err := plainValues(ctx, args)
			if err != nil {
				return nil, err
			}
			return queryer.Query(query, values)
		}
	} else {
		return nil, driver.ErrSkip
	}
	return c.ask(ctx, query, args, ask)
}

// sqlStmt is a prepared statement.
type sqlStmt struct {
	driver.Stmt
	conn  *sqlConn
	query string
}

func (s *sqlStmt) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return s.conn.CheckNamedValue(value)
}

func (s *sqlStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.exec(ctx, s.query, args, func() (driver.Result, error) {
		if execer, ok := s.Stmt.(driver.StmtExecContext); ok {
			return execer.ExecContext(ctx, args)
		}
		values, err := plainValues(ctx, args)
		if err != nil {
			return nil, err
		}
		return s.Stmt.Exec(values)
	})
}

func (s *sqlStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.ask(ctx, s.query, args, func() (driver.Rows, error) {
		if queryer, ok := s.Stmt.(driver.StmtQueryContext); ok {
			return queryer.QueryContext(ctx, args)
		}
		values, err := plainValues(ctx, args)
		if err != nil {
			return nil, err
		}
		return s.Stmt.Query(values)
	})
}

// convertingSQLStmt is one of a driver that converts arguments by column.
type convertingSQLStmt struct {
	*sqlStmt
	converter driver.ColumnConverter
}

func (s *convertingSQLStmt) ColumnConverter(at int) driver.ValueConverter {
	return s.converter.ColumnConverter(at)
}

// plainValues are arguments as older drivers take them.
func plainValues(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for at, arg := range args {
		if arg.Name != "" {
			return nil, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[at] = arg.Value
	}
	return values, ctx.Err()
}
