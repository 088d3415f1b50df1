package reassemble

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// lambdaEvent is what an event says of a request.
type lambdaEvent struct {
	// isHTTP says that a gateway, load balancer or function URL made it of a request.
	isHTTP bool
	// isVersion2 says that an answer without a status is a body by itself.
	isVersion2                      bool
	proto, method, url, peer, route string
	headers                         http.Header
	body                            []byte
}

// gatewayEvent holds what the formats of API Gateway, load balancers and function URLs say of a request.
type gatewayEvent struct {
	HTTPMethod     string
	Path           string
	Resource       string
	RawPath        string
	RawQueryString string
	RouteKey       string
	Query          map[string]string   `json:"queryStringParameters"`
	MultiQuery     map[string][]string `json:"multiValueQueryStringParameters"`
	Headers        map[string]string
	MultiHeaders   map[string][]string `json:"multiValueHeaders"`
	Cookies        []string
	Body           string
	IsBase64       bool `json:"isBase64Encoded"`
	RequestContext *struct {
		ELB        *struct{}
		Path       string
		Protocol   string
		DomainName string
		Identity   struct{ SourceIP string }
		HTTP       struct{ Method, Protocol, SourceIP string }
	}
}

// readLambdaEvent reads an event; one that is no HTTP request's is captured as it stands.
func readLambdaEvent(payload []byte) *lambdaEvent {
	var g gatewayEvent
	err := json.Unmarshal(payload, &g)
	switch {
	case err == nil && g.RequestContext != nil && g.RequestContext.HTTP.Method != "":
		return g.version2()
	case err == nil && g.RequestContext != nil && g.HTTPMethod != "":
		return g.version1()
	default:
		return &lambdaEvent{proto: "lambda", method: "invoke", url: functionURL(), headers: jsonHeaders(), body: payload}
	}
}

// jsonHeaders say what Lambda's own interface does of events and answers; so they are looked through for names.
func jsonHeaders() http.Header { return http.Header{"Content-Type": {"application/json"}} }

func (g *gatewayEvent) version2() *lambdaEvent {
	about := g.RequestContext.HTTP
	headers := g.headers()
	if len(g.Cookies) > 0 {
		headers.Set("Cookie", strings.Join(g.Cookies, "; "))
	}
	target := g.RawPath
	if g.RawQueryString != "" {
		target += "?" + g.RawQueryString
	}
	route := g.RouteKey
	if route == "$default" {
		route = ""
	}
	return &lambdaEvent{
		isHTTP: true, isVersion2: true, proto: gatewayProtocol(about.Protocol), method: about.Method, url: g.absolute(headers, target),
		peer: about.SourceIP, route: route, headers: headers, body: gatewayBody(g.Body, g.IsBase64),
	}
}

func (g *gatewayEvent) version1() *lambdaEvent {
	headers := g.headers()
	// A load balancer gives parameters as they were asked for, a gateway unescaped.
	escape := url.QueryEscape
	if g.RequestContext.ELB != nil {
		escape = func(text string) string { return text }
	}
	// With the stage, as the client asked for it.
	target := cmp.Or(g.RequestContext.Path, g.Path)
	if query := g.query(escape); query != "" {
		target += "?" + query
	}
	peer := g.RequestContext.Identity.SourceIP
	if peer == "" {
		// The address that the load balancer saw; what stands before it any client may have written.
		all := headers.Get("X-Forwarded-For")
		peer = strings.TrimSpace(all[strings.LastIndexByte(all, ',')+1:])
	}
	return &lambdaEvent{
		isHTTP: true, proto: gatewayProtocol(g.RequestContext.Protocol), method: g.HTTPMethod, url: g.absolute(headers, target), peer: peer,
		route: g.Resource, headers: headers, body: gatewayBody(g.Body, g.IsBase64),
	}
}

func (g *gatewayEvent) headers() http.Header { return gatewayHeaders(g.Headers, g.MultiHeaders) }

// query is put together again in the order of the names, for the event shows none.
func (g *gatewayEvent) query(escape func(string) string) string {
	all := g.MultiQuery
	if all == nil {
		all = make(map[string][]string)
		for name, value := range g.Query {
			all[name] = []string{value}
		}
	}
	var parameters []string
	for name, values := range all {
		for _, value := range values {
			parameters = append(parameters, escape(name)+"="+escape(value))
		}
	}
	slices.SortStableFunc(parameters, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return strings.Join(parameters, "&")
}

func (g *gatewayEvent) absolute(headers http.Header, target string) string {
	host := headers.Get("Host")
	if host == "" {
		host = g.RequestContext.DomainName
	}
	if host == "" {
		return target
	}
	scheme := headers.Get("X-Forwarded-Proto")
	if scheme != "http" {
		scheme = "https"
	}
	return scheme + "://" + host + target
}

func gatewayProtocol(protocol string) string {
	if strings.HasPrefix(protocol, "HTTP/2") {
		return "h2"
	}
	if protocol == "HTTP/1.0" {
		return "http/1.0"
	}
	return "http/1.1"
}

func gatewayHeaders(single map[string]string, multi map[string][]string) http.Header {
	headers := make(http.Header, len(single)+len(multi))
	for name, value := range single {
		headers.Set(name, value)
	}
	for name, values := range multi {
		headers[http.CanonicalHeaderKey(name)] = values
	}
	return headers
}

func gatewayBody(body string, isBase64 bool) []byte {
	if isBase64 {
		if decoded, err := base64.StdEncoding.DecodeString(body); err == nil {
			return decoded
		}
	}
	return []byte(body)
}

// lambdaAnswer is what an answer says of a response.
type lambdaAnswer struct {
	// code is 0 where it is none of HTTP.
	code    int
	headers http.Header
	body    []byte
}

func readLambdaAnswer(event *lambdaEvent, payload []byte) *lambdaAnswer {
	if !event.isHTTP {
		return &lambdaAnswer{headers: jsonHeaders(), body: payload}
	}
	var g struct {
		StatusCode   int
		Headers      map[string]any
		MultiHeaders map[string][]string `json:"multiValueHeaders"`
		Cookies      []string
		Body         string
		IsBase64     bool `json:"isBase64Encoded"`
	}
	if err := json.Unmarshal(payload, &g); err != nil || g.StatusCode == 0 {
		code := 0
		if event.isVersion2 {
			code = http.StatusOK
		}
		return &lambdaAnswer{code, jsonHeaders(), payload}
	}
	single := make(map[string]string, len(g.Headers))
	for name, value := range g.Headers {
		single[name] = headerText(value)
	}
	headers := gatewayHeaders(single, g.MultiHeaders)
	for _, cookie := range g.Cookies {
		headers.Add("Set-Cookie", cookie)
	}
	return &lambdaAnswer{g.StatusCode, headers, gatewayBody(g.Body, g.IsBase64)}
}

// headerText is a header's value, which a gateway takes as a number or a truth too.
func headerText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, _ := json.Marshal(value) // it came from JSON
	return string(text)
}
