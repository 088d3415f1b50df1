// Package postgrestest tries captures of database/sql with drivers of PostgreSQL and a real server, which POSTGRES_URL names. It is a module of its
// own, so that the emitter depends on no driver.
package postgrestest
