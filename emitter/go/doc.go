// Package reassemble captures what a Go service is asked and answers as capture lines on its standard output, where `reassemble` finds them.
//
// Bodies are captured as they stream by, the app never waits, and secrets stay in. Middleware captures a server, Transport a client, Lambda a
// function, Connector a database's statements, and Begin anything else. The README tells of settings and of what to expect.
package reassemble
