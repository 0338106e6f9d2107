#include "sources/manifest.h"
#include <check.h>

/* What a wrong manifest is told: the first line of the report, after the file's name. */

#define HEAD "sluice: 1\nname: acme\n"
#define VERIFY "verify: none\n"
#define EVENT "event: {id: body.id, type: body.type}\n"
#define API "api: {base: \"https://a.example\", page: {records: body.data}}\n"
#define FIELDS(text) HEAD VERIFY "config: {" text "}\n"
#define SCHEME(text) HEAD "verify:\n  v1: " text "\n"
#define CALLS(text) HEAD VERIFY "api: {base: \"https://a.example\", " text "}\n"
#define SHAKE(text) HEAD "config: {k: {secret: true}, o: {}}\nverify:\n  v1: {algorithm: token, signature: {header: X}}\nhandshake: {when: {method: GET}, " text "}\n"
#define ANSWER(text) SHAKE("answer: {" text "}")
#define TABLE(text) HEAD VERIFY EVENT API "tables:\n  orders: " text "\n"

static const struct {
    const char *text, *first;
} mistakes[] = {
    {"",
     "1:1: a manifest is a map that begins with `sluice: 1` and `name:`"},
    {"name: acme\nverify: none\n",
     "1:1: no `sluice`; the version of the manifest language: `sluice: 1`"},
    {"sluice: 2\nname: acme\nverify: none\n",
     "1:9: sluice: must be 1, the version of the manifest language that this program reads"},
    {HEAD,
     "1:1: no `verify`; how requests are signed, or `none`"},
    {HEAD VERIFY "tabels: {}\n",
     "4:1: no such key 'tabels' (did you mean tables?)"},
    {HEAD VERIFY "status: gamma\n",
     "4:9: status: 'gamma' is not one of alpha, beta, ga"},
    {"sluice: 1\nname: Acme Inc\nverify: none\n",
     "2:7: name: 'Acme Inc': a name is made of a-z, 0-9, - and _, and begins with a letter"},
    {"- a\n",
     "1:1: a manifest is a map that begins with `sluice: 1` and `name:`"},
    {HEAD VERIFY "verify: none\n",
     "4:1: verify: the key is there twice, first in line 3"},
    {HEAD VERIFY "title: [a]\n",
     "4:1: title: must be a text"},
    {FIELDS("Key: {}"),
     "4:10: config.Key: a field's name is made of a-z, 0-9 and _, and begins with a letter"},
    {FIELDS("a: {secert: true}"),
     "4:14: config.a: no such key 'secert' (did you mean secret?)"},
    {FIELDS("a: {secret: yes}"),
     "4:22: config.a.secret: 'yes' must be true or false"},
    {FIELDS("a: {type: switch, default: on}"),
     "4:37: config.a.default: 'on' must be true or false"},
    {FIELDS("a: {type: select}"),
     "4:10: config.a: a select needs its `options`"},
    {FIELDS("a: {type: select, options: [x, y], default: z}"),
     "4:54: config.a.default: 'z' is not one of x, y"},
    {FIELDS("a: {pattern: \"(\", default: x}"),
     "4:23: config.a.pattern: '(' is no regular expression: Unmatched ( or \\("},
    {FIELDS("a: {pattern: \"^x\", default: y}"),
     "4:38: config.a.default: 'y' does not match the pattern ^x"},
    {FIELDS("a: {secret: true, default: x}"),
     "4:37: config.a.default: a secret has no default"},
    {FIELDS("a: {options: [x]}"),
     "4:14: config.a.options: only a field of `type: select` has options"},
    {HEAD "verify: always\n",
     "3:9: verify: must be a map of schemes (name: {algorithm: …}); or `configured`: it comes from the "
          "configuration; or `none`: the provider signs nothing"},
    {HEAD "verify: {}\n",
     "3:1: verify: must be a map of schemes (name: {algorithm: …}); or `configured`: it comes from the "
          "configuration; or `none`: the provider signs nothing"},
    {SCHEME("{signature: {header: X, encoding: hex}, signed: \"{body}\"}"),
     "4:3: verify.v1: no `algorithm`; one of hmac-sha256, hmac-sha1, hmac-sha512, ed25519, token, basic"},
    {SCHEME("{algorithm: hmac-sha265, signature: {header: X, encoding: hex}, signed: \"{body}\"}"),
     "4:19: verify.v1.algorithm: 'hmac-sha265' is not one of hmac-sha256, hmac-sha1, hmac-sha512, ed25519, "
          "token, basic (did you mean hmac-sha256?)"},
    {SCHEME("{algorithm: hmac-sha256, signed: \"{body}\"}"),
     "4:3: verify.v1: no `signature`; where it is, like {header: X-Signature, encoding: hex}"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hexx}, signed: \"{body}\"}"),
     "4:65: verify.v1.signature.encoding: 'hexx' is not one of hex, base64 (did you mean hex?)"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X}, signed: \"{body}\"}"),
     "4:32: verify.v1.signature: no `encoding`; hex or base64"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, query: y, encoding: hex}, signed: \"{body}\"}"),
     "4:32: verify.v1.signature: must say where the signature is: `header` or `query`"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}}"),
     "4:3: verify.v1: no `signed`; the text that is signed, like \"{time}.{body}\""},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{body\"}"),
     "4:79: verify.v1.signed: a '{' without its '}'; a literal brace is written {{"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"body}\"}"),
     "4:79: verify.v1.signed: a '}' without its '{'; a literal brace is written }}"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{}\"}"),
     "4:79: verify.v1.signed: empty braces; a literal brace is written {{ or }}"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{bdoy}\"}"),
     "4:79: verify.v1.signed: a path can't begin with 'bdoy' (did you mean body?)"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{body|sha265}\"}"),
     "4:79: verify.v1.signed: no such filter 'sha265' (did you mean sha256?); there are sha256, sha1, "
          "hex, base64, crc32, sorted, percent, last, hmac-sha256, hmac-sha1, hmac-sha512"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{body|sorted}\"}"),
     "4:79: verify.v1.signed: 'sorted' is for all fields of a form: {form|sorted}"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{time}{body}\"}"),
     "4:79: verify.v1.signed: {time} needs `time`: where the time is"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{record.id}\"}"),
     "4:79: verify.v1.signed: 'record.id' means nothing here; a path can begin with body, form, header, "
          "query, method, url, config, secret, signature, time"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{config.id}\"}"),
     "4:79: verify.v1.signed: 'config.id': `config` has no field 'id'"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, time: {from: header.T, unit: "
         "s, past: 5m}, signed: \"{body}\"}"),
     "4:71: verify.v1.time: the time is no part of `signed`: put {time} there, or say `signed: false`"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, time: {from: header.T, unit: "
         "h}, signed: \"{time}{body}\"}"),
     "4:100: verify.v1.time.unit: 'h' is not one of s, ms, iso8601"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, time: {from: header.T, unit: "
         "s, past: 5 minutes}, signed: \"{time}{body}\"}"),
     "4:109: verify.v1.time.past: '5 minutes' is no duration; write it like 300s, 5m, 24h or 30d"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, time: {from: signature.t, "
         "unit: s}, signed: \"{time}{body}\"}"),
     "4:84: verify.v1.time.from: 'signature.t' needs a signature header that is a list of k=v entries"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex, list: \",\"}, signed: \"{body}\"}"),
     "4:76: verify.v1.signature.list: `list` needs `pick`: which entries of the list are signatures"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex, list: \" \", pick: v1}, signed: "
         "\"{body}\"}"),
     "4:87: verify.v1.signature.pick: in a list with spaces 'v1' must be a tag with its comma, like \"v1,\""},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex, list: \",\", pick: \"v1=\"}, "
         "signed: \"{body}\"}"),
     "4:87: verify.v1.signature.pick: 'v1=' must be the key of k=v entries, like v1"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex, list: \"|\", pick: v1}, signed: "
         "\"{body}\"}"),
     "4:76: verify.v1.signature.list: must be what stands between the entries: \",\", \";\" or \" \""},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, key: {encoding: base32}, "
         "signed: \"{body}\"}"),
     "4:87: verify.v1.key.encoding: 'base32' is not one of hex, base64, utf8 (did you mean base64?)"},
    {SCHEME("{algorithm: token, signature: {header: X}, signed: \"{body}\"}"),
     "4:58: verify.v1.signed: nothing is signed by a token"},
    {SCHEME("{algorithm: token, signature: {header: X}, require: [X-Id]}"),
     "4:60: verify.v1.require[0]: 'X-Id' must be a header, like header.X-Name"},
    {SCHEME("{algorithm: token, signature: {header: X}, when: {header.Y: }}"),
     "4:57: verify.v1.when.header.Y: must be a value, a list of values, present, absent or config.…"},
    {SCHEME("{algorithm: token, signature: {header: X}, when: [header.Y]}"),
     "4:50: verify.v1.when: must be a map of conditions, like {body.status: paid}"},
    {SCHEME("{algorithm: token, signature: {header: X}, enabled: config.on}"),
     "4:59: verify.v1.enabled: 'config.on': `config` has no field 'on'"},
    {HEAD "config: {on: {}}\nverify:\n  v1: {algorithm: token, signature: {header: X}, enabled: config.on}\n",
     "5:59: verify.v1.enabled: 'config.on' must be a field of `type: switch`"},
    {HEAD VERIFY "handshake: [{answer: {text: x}}]\n",
     "4:13: handshake[0]: no `when`; what tells a handshake from an event"},
    {SHAKE("answr: {}"),
     "6:34: handshake: no such key 'answr' (did you mean answer?)"},
    {ANSWER("text: \"{config.k}\""),
     "6:49: handshake.answer.text: 'config.k' is a secret: an answer may hold it only in a digest, like "
          "{query.x|hmac-sha256 config.k|hex}"},
    {ANSWER("text: \"{config.k|hex}\""),
     "6:49: handshake.answer.text: 'config.k' is a secret: an answer may hold it only in a digest, like "
          "{query.x|hmac-sha256 config.k|hex}"},
    {ANSWER("text: \"{secret}\""),
     "6:49: handshake.answer.text: 'secret' is a secret: an answer may hold it only in a digest, like "
          "{query.x|hmac-sha256 secret|hex}"},
    {ANSWER("json: {a: \"{query.c + config.k}\"}"),
     "6:53: handshake.answer.json.a: 'config.k' is a secret: an answer may hold it only in a digest, like "
          "{query.x|hmac-sha256 config.k|hex}"},
    {ANSWER("headers: {X-A: \"{config.k|base64}\"}"),
     "6:58: handshake.answer.headers.X-A: 'config.k' is a secret: an answer may hold it only in a digest, like "
          "{query.x|hmac-sha256 config.k|hex}"},
    {ANSWER("text: \"{query.c|hmac-sha256 config.q|hex}\""),
     "6:49: handshake.answer.text: 'config.q': `config` has no field 'q'"},
    {ANSWER("text: \"{query.c|hmac-sha256|hex}\""),
     "6:49: handshake.answer.text: 'hmac-sha256' needs its key: hmac-sha256 secret, or hmac-sha256 config.…"},
    {ANSWER("text: \"{query.c|hmac-sha265 secret|hex}\""),
     "6:49: handshake.answer.text: no such filter 'hmac-sha265' (did you mean hmac-sha256?); there are sha256, "
          "sha1, hex, base64, crc32, sorted, percent, last, hmac-sha256, hmac-sha1, hmac-sha512"},
    {ANSWER("text: \"{query.c|hmac-sha1 config.k sah1|hex}\""),
     "6:49: handshake.answer.text: a key can be taken as it is, or by its sha256 or sha1, not 'sah1' (did you "
          "mean sha1?)"},
    {ANSWER("text: \"{query.c|hmac-sha1 query.k|hex}\""),
     "6:49: handshake.answer.text: 'query.k' means nothing here; a path can begin with config, secret"},
    {ANSWER("text: \"{query.c|hmac-sha1 secret|hmac-sha1 secret|hex}\""),
     "6:49: handshake.answer.text: more than one HMAC in one pair of braces"},
    {ANSWER("text: \"{query.c|hmac-sha1 secret}\""),
     "6:49: handshake.answer.text: a digest is bytes: write it with |hex or |base64"},
    {ANSWER("text: \"{query.c|hex secret}\""),
     "6:49: handshake.answer.text: 'hex' takes nothing: 'secret' is too much"},
    {ANSWER("text: \"{query.c + qurey.d|sha256|hex}\""),
     "6:49: handshake.answer.text: a path can't begin with 'qurey' (did you mean query?)"},
    {ANSWER("text: \"{query.c + query.d?}\""),
     "6:49: handshake.answer.text: '?' is for one path alone"},
    {ANSWER("text: a, json: {a: b}"),
     "6:52: handshake.answer.json: either `text` or `json`"},
    {ANSWER("status: 204, text: a"),
     "6:62: handshake.answer.text: an answer with status 204 has no body"},
    {ANSWER("json: [a]"),
     "6:43: handshake.answer.json: must be a map of the body's members, like {challenge: \"{body.challenge}\"}"},
    {ANSWER("headers: {Content-Length: \"1\"}"),
     "6:53: handshake.answer.headers.Content-Length: 'Content-Length' is set by the server itself"},
    {ANSWER("headers: {\"X A\": \"1\"}"),
     "6:53: handshake.answer.headers.X A: 'X A' is no header's name"},
    {ANSWER("headers: X-A"),
     "6:52: handshake.answer.headers: must be a map of headers, like {X-Hook-Secret: \"{header.X-Hook-Secret}\"}"},
    {ANSWER("text: a, content_type: text/html"),
     "6:66: handshake.answer.content_type: 'text/html': an answer that echoes what was sent must not be run or drawn"},
    {ANSWER("text: a, content_type: plain"),
     "6:66: handshake.answer.content_type: 'plain' is no content type, like text/plain"},
    {SHAKE("refuse: 200, answer: {text: a}"),
     "6:42: handshake.refuse: '200' must be a number from 400 to 499"},
    {SHAKE("must: {query.t: config.kk}, answer: {text: a}"),
     "6:50: handshake.must.query.t: 'config.kk': `config` has no field 'kk' (did you mean k?)"},
    {SHAKE("must: {config.k: query.t}, answer: {text: a}"),
     "6:41: handshake.must.config.k: 'config.k' is a secret: only calls may use it"},
    {SHAKE("fetch: body.u, answer: {text: a}"),
     "6:41: handshake.fetch: `fetch` needs `hosts`: where the URL may lead"},
    {SHAKE("hosts: [a.example], answer: {text: a}"),
     "6:34: handshake.hosts: `hosts` is for `fetch`: the path of a URL"},
    {SHAKE("fetch: body.u, hosts: [a.example, \"*.com\"], answer: {text: a}"),
     "6:68: handshake.hosts[1]: '*.com' is no host name; small letters, and a * only before the domain, like "
          "sns.*.example.com"},
    {SHAKE("fetch: body.u, hosts: \"https://a.example\", answer: {text: a}"),
     "6:56: handshake.hosts: 'https://a.example' is no host name; small letters, and a * only before the "
          "domain, like sns.*.example.com"},
    {SHAKE("verified: false, fetch: body.u, hosts: [a.example], answer: {text: a}"),
     "6:58: handshake.fetch: only a verified request may make us fetch something: leave out `verified: false`"},
    {SHAKE("fetch: config.o, hosts: [a.example], answer: {text: a}"),
     "6:41: handshake.fetch: 'config.o' means nothing here; a path can begin with body, form, header, query"},
    {SHAKE("secret: config.k, answer: {text: a}"),
     "6:42: handshake.secret: 'config.k' means nothing here; a path can begin with body, form, header, query"},
    {HEAD VERIFY "handshake: {when: {method: GET}, secret: header.X, answer: {text: a}}\n",
     "4:42: handshake.secret: nothing is verified by it: `verify` has no scheme"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{body|hmac-sha256 secret|hex}\"}"),
     "4:79: verify.v1.signed: 'body': an HMAC is made only in the answer to a handshake"},
    {SCHEME("{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{body + secret}\"}"),
     "4:79: verify.v1.signed: 'body': paths are joined by + only in the answer to a handshake"},
    {SHAKE("verified: false, answer: {text: \"{query.c|hmac-sha256 secret|hex}\"}"),
     "6:66: handshake.answer.text: whoever asks would get an HMAC of whatever 'query.c' holds: say what that "
          "looks like, as `shape: {query.c: \"^[0-9a-f]{20,64}$\"}`"},
    {SHAKE("verified: false, shape: {query.d: \"^x$\"}, answer: {json: {a: \"{method + query.c|hmac-sha1 config.k|hex}\"}}"),
     "6:95: handshake.answer.json.a: whoever asks would get an HMAC of whatever 'query.c' holds: say what that "
          "looks like, as `shape: {query.c: \"^[0-9a-f]{20,64}$\"}`"},
    {SHAKE("shape: {query.c: \"^(\"}, answer: {text: a}"),
     "6:51: handshake.shape.query.c: '^(' is no regular expression: Unmatched ( or \\("},
    {SHAKE("shape: query.c, answer: {text: a}"),
     "6:41: handshake.shape: must be a map of paths and patterns, like {query.challenge: \"^[0-9a-f]{32}$\"}"},
    {SHAKE("shape: {qurey.c: \"^a$\"}, answer: {text: a}"),
     "6:42: handshake.shape.qurey.c: a path can't begin with 'qurey' (did you mean query?)"},
    {HEAD VERIFY "answer: {bad_signature: 200}\n",
     "4:25: answer.bad_signature: '200' must be a number from 400 to 499"},
    {HEAD VERIFY "event: {id: body.}\n",
     "4:13: event.id: 'body.' is no path: a step has no name"},
    {HEAD VERIFY "event: {id: header}\n",
     "4:13: event.id: 'header' needs a name: header.…"},
    {HEAD VERIFY "event: {id: \"query[hub.x]\"}\n",
     "4:13: event.id: 'query[hub.x]' is no path: steps are written .name, [\"name\"] or []"},
    {HEAD VERIFY "event: {each: body.items}\n",
     "4:15: event.each: 'body.items' must stand for each element of a list: body.items[]"},
    {HEAD VERIFY "event: {object: \"body.items[]\"}\n",
     "4:17: event.object: 'body.items[]' must be one value: without []"},
    {HEAD VERIFY "event: {id: {hash: url}}\n",
     "4:20: event.id.hash: must be {hash: body}"},
    {HEAD VERIFY "event: {id: method.x}\n",
     "4:13: event.id: 'method.x': there is nothing below this"},
    {HEAD VERIFY "event: {time: {from: body.t}}\n",
     "4:9: event.time: must be {from: path, unit: s | ms | iso8601}"},
    {HEAD VERIFY "event: {must: {\"body.a[]\": x}}\n",
     "4:16: event.must.body.a[]: a condition speaks of one value, not of each"},
    {HEAD VERIFY "event: {must: {body.v: config.v}}\n",
     "4:24: event.must.body.v: 'config.v': `config` has no field 'v'"},
    {HEAD "config: {token: {secret: true}}\nverify: none\nevent: {type: config.tokn}\n",
     "5:15: event.type: 'config.tokn': `config` has no field 'tokn' (did you mean token?)"},
    {HEAD "config: {token: {secret: true}}\nverify: none\nevent: {type: config.token}\n",
     "5:15: event.type: 'config.token' is a secret: only calls may use it"},
    {HEAD VERIFY "api: {auth: {bearer: config.a}}\n",
     "4:1: api: no `base`; the URL that all paths begin with"},
    {HEAD VERIFY "api: {base: ftp://a.example}\n",
     "4:13: api.base: 'ftp://a.example' must begin with https://"},
    {HEAD VERIFY "api: {base: \"https://a.example/\"}\n",
     "4:13: api.base: 'https://a.example/' must not end with /: the paths begin with one"},
    {CALLS("auth: {header: X}"),
     "4:34: api.auth: must be {bearer: config.…}, {basic: \"{config.…}:{config.…}\"} or {header: name, value: config.…}"},
    {CALLS("page: {records: body.data, next: {query: after}}"),
     "4:61: api.page.next: must be {link: next} or {query: parameter, value: path}"},
    {CALLS("page: {records: body.data, next: {link: next, query: x}}"),
     "4:61: api.page.next: either {link: next} or {query, value, more}"},
    {CALLS("page: {size: {query: limit, max: many}}"),
     "4:67: api.page.size.max: 'many' must be a number from 1 to 100000"},
    {CALLS("order: created"),
     "4:41: api.order: 'created' must be a field and asc or desc, like `created desc`"},
    {CALLS("order: created down"),
     "4:41: api.order: 'created down' must be a field and asc or desc, like `created desc`"},
    {CALLS("since: {query: since, unit: s}"),
     "4:34: api.since: no `field`; the record's field that the filter speaks of"},
    {CALLS("since: stop"),
     "4:41: api.since: `stop` needs an `order` that is desc: the newest rows must come first"},
    {CALLS("since: later"),
     "4:41: api.since: must be {query, field, unit}, or `stop`, or `none`"},
    {CALLS("rate: {wait: Retry-After}"),
     "4:47: api.rate.wait: 'Retry-After' must be a header, like header.X-Name"},
    {CALLS("rate: {left: header.L}"),
     "4:34: api.rate: `left` and `reset` go together"},
    {CALLS("errors: [{cause: auth}]"),
     "4:43: api.errors[0]: must say which answers it speaks of: `status`, `when` or both"},
    {CALLS("errors: [{status: 401, cause: login}]"),
     "4:64: api.errors[0].cause: 'login' is not one of auth, scope, busy, limit, gone, version, cap, other"},
    {CALLS("errors: {status: 401}"),
     "4:34: api.errors: must be a list of {status, cause, say}"},
    {CALLS("errors: [{status: 401, cause: auth, say: \"{table.scop}\"}]"),
     "4:75: api.errors[0].say: a path can't begin with 'table' (did you mean table.scope?)"},
    {CALLS("lag: soon"),
     "4:39: api.lag: 'soon' is no duration; write it like 300s, 5m, 24h or 30d"},
    {HEAD VERIFY "feed: {path: /events, keep: 30d}\n",
     "4:1: feed: there is no `api` to call"},
    {HEAD VERIFY API "feed: {path: /events}\n",
     "5:1: feed: no `keep`; how long the provider keeps its events, like 30d"},
    {TABLE("{types: order.a}"),
     "7:3: tables.orders: no `key`; name the column or columns that make a row one"},
    {TABLE("{key: id}"),
     "7:3: tables.orders: no row can come: neither events (`types`, `kind`, `when`) nor a list to pull "
          "(`path`)"},
    {TABLE("{key: [id, id], types: a}"),
     "7:22: tables.orders.key[1]: 'id' is in the list twice"},
    {TABLE("{key: id, types: \"order.{a,b\"}"),
     "7:28: tables.orders.types: 'order.{a,b': braces don't match; a choice is written {a,b}"},
    {TABLE("{key: id, types: a, kind: order}"),
     "7:37: tables.orders.kind: `event` does not say where the kind is: `event.kind`"},
    {TABLE("{key: id, typs: a}"),
     "7:21: tables.orders: no such key 'typs' (did you mean types?)"},
    {TABLE("{key: id, path: orders}"),
     "7:27: tables.orders.path: 'orders' must begin with /"},
    {TABLE("{key: id, types: a, for_each: customers}"),
     "7:41: tables.orders.for_each: there is no table 'customers'"},
    {TABLE("{key: id, path: \"/x/{customers.id}\"}"),
     "7:27: tables.orders.path: a path can't begin with 'customers': it begins with body, header, query, "
          "form, config, event, object, record, … or a parent table"},
    {TABLE("{key: id, path: /x, for_each: ordres}"),
     "7:41: tables.orders.for_each: there is no table 'ordres' (did you mean orders?)"},
    {TABLE("{key: id, path: \"/x/{orders.id}\", for_each: orders}"),
     "7:55: tables.orders.for_each: the tables stand for each other in a circle"},
    {TABLE("{key: id, path: /a}\n  lines: {key: id, path: /b, for_each: orders}"),
     "8:26: tables.lines.path: it is called for each of orders, and must speak of it: {orders.…}"},
    {TABLE("{key: id, path: \"/a/{lines.id}\", for_each: lines}\n  lines: {key: id, path: \"/b/{orders.id}\", "
         "for_each: orders}"),
     "7:54: tables.orders.for_each: the tables stand for each other in a circle"},
    {TABLE("{key: id, types: a}\n  lines: {key: id, path: \"/b/{orders.id}\", for_each: orders}"),
     "8:54: tables.lines.for_each: 'orders' has no `path`: its rows are never pulled"},
    {TABLE("{key: id, types: a, deleted: \"*.deleted\"}"),
     "7:40: tables.orders.deleted: '*.deleted': name each event that deletes; a * could take another for one"},
    {TABLE("{key: id, types: a, deleted: {each: \"body.x[]\"}}"),
     "7:31: tables.orders.deleted: must say which events delete: `type`, `when` or both"},
    {TABLE("{key: id, types: a, deleted: {type: b, key: {nr: body.id}}}"),
     "7:56: tables.orders.deleted.key.nr: 'nr' is no column of the table's key"},
    {TABLE("{key: id, types: a, deleted: []}"),
     "7:31: tables.orders.deleted: an empty list; leave `deleted` out where nothing deletes"},
    {TABLE("{key: id, types: a, columns: {id: drop}}"),
     "7:45: tables.orders.columns.id: 'id' is part of the table's key and must stay"},
    {TABLE("{key: id, types: a, columns: {a: {type: decimal}}}"),
     "7:45: tables.orders.columns.a: no such key 'type'"},
    {TABLE("{key: id, types: a, columns: {a.b: {from: body.x}}}"),
     "7:41: tables.orders.columns.a.b: 'a.b' must be a column of its own, without dots"},
    {TABLE("{key: id, types: a, columns: {a: b.c}}"),
     "7:44: tables.orders.columns.a: 'b.c' must be a column's name, without dots"},
    {TABLE("{key: id, types: a, lacks: {push: others}}"),
     "7:45: tables.orders.lacks.push: `others` are those that `columns` does not name, and there is no "
          "`columns`"},
    {TABLE("{key: id, types: a, lacks: {pull: [id]}}"),
     "7:39: tables.orders.lacks.pull: 'id' is part of the table's key: no door can lack it"},
    {TABLE("{key: id, types: a, lacks: {push: some}}"),
     "7:45: tables.orders.lacks.push: must be a list of columns, or `others`"},
    {TABLE("{key: id, types: a, rank: {status: paid}}"),
     "7:31: tables.orders.rank: must be {field: [lowest, …, highest]}"},
    {TABLE("{key: id, types: a, rank: {status: [open, paid, open]}}"),
     "7:59: tables.orders.rank.status[2]: 'open' is in the list twice"},
    {TABLE("{key: id, types: a, version: {unit: s}}"),
     "7:31: tables.orders.version: no `field`; the field or fields that only grow"},
    {TABLE("{key: id, types: a, keep: {recrod.x: present}}"),
     "7:38: tables.orders.keep.recrod.x: a path can't begin with 'recrod' (did you mean record?)"},
    {TABLE("{key: id, types: a, object: body.a, each: \"body.b[]\"}"),
     "7:39: tables.orders.object: either `object` or `each`"},
    {TABLE("{key: id, path: /x, since: {query: a, field: b}}"),
     "7:31: tables.orders.since: no `unit`; s, ms or iso8601"},
    {TABLE("{key: id, path: /x, carry: {a: body.id}}"),
     "7:42: tables.orders.carry.a: 'body.id' means nothing here; a path can begin with config"},
    {TABLE("{key: id, types: a, keep: {record.x: []}}"),
     "7:38: tables.orders.keep.record.x: an empty list never holds"},
    {HEAD VERIFY EVENT "tables:\n  events: {key: id, types: a}\n",
     "6:3: tables.events: `events` is there already: every source has it"},
    {HEAD VERIFY EVENT "tables:\n  body: {key: id, types: a}\n",
     "6:3: tables.body: 'body' has a meaning of its own in paths; choose another name"},
    {HEAD VERIFY EVENT "tables:\n  Orders: {key: id, types: a}\n",
     "6:3: tables.Orders: a table's name is made of a-z, 0-9 and _, and begins with a letter"},
    {HEAD VERIFY EVENT "tables:\n  orders: {key: id, path: /x}\n",
     "6:27: tables.orders.path: there is no `api` to call"},
    {HEAD VERIFY "tables:\n  orders: {key: id, types: a}\n",
     "5:28: tables.orders.types: `event` does not say where the type is: `event.type`"},
    {HEAD VERIFY "api: {base: \"https://a.example\"}\ntables:\n  orders: {key: id, path: /x}\n",
     "6:27: tables.orders.path: nothing says where the records of a page are: `page: {records: body.…}` "
          "here or in `api`"},
    {HEAD VERIFY "defaults: {path: /x}\n",
     "4:12: defaults: no such key 'path' (did you mean page?)"},
    {HEAD VERIFY "tables: [orders]\n",
     "4:1: tables: must be a map (table: {…})"},
    {HEAD VERIFY "webhook: {rotate: never}\n",
     "4:19: webhook.rotate: 'never' is not one of call, second-endpoint, by_hand"},
    {HEAD VERIFY "webhook: {create: {url: /x}}\n",
     "4:20: webhook.create: no such key 'url'"},
    {HEAD VERIFY "webhook: {create: {post: hooks}}\n",
     "4:26: webhook.create.post: must be a path that begins with /"},
    {HEAD VERIFY "webhook: {create: {post: /hooks, form: {url: \"{ulr}\"}}}\n",
     "4:46: webhook.create.form.url: a path can't begin with 'ulr' (did you mean url?)"},
    {HEAD VERIFY "webhook: {by_hand: \"{url\"}\n",
     "4:20: webhook.by_hand: a '{' without its '}'; a literal brace is written {{"},
    {HEAD VERIFY "webhook: {create: {post: /hooks, secret: body.secret}}\n",
     "4:1: webhook: `list` and `create` go together"},
    {HEAD VERIFY "webhook: {list: {get: /hooks}, create: {post: /hooks}}\n",
     "4:11: webhook.list: must say where the endpoints are (`records`) and what stands where (`read`)"},
    {HEAD VERIFY "webhook: {list: {get: /hooks, records: body.data, read: {id: record.id}}, create: {post: /hooks}}\n",
     "4:51: webhook.list.read: no `url`: endpoints are known by it, like url: record.url"},
    {HEAD VERIFY "webhook: {list: {get: /hooks, records: body, read: {url: record.url}}, create: {post: /hooks}}\n",
     "4:1: webhook: there is no `api` to call: it says the base, the credential and the errors"},
    {HEAD VERIFY "webhook: {create: {post: /hooks, form: {a: b}, json: {a: b}}}\n",
     "4:48: webhook.create.json: a body is `form` or `json`, not both"},
    {HEAD VERIFY "webhook: {create: {post: /hooks, json: {a: \"{body.x}\"}}}\n",
     "4:44: webhook.create.json.a: 'body.x' means nothing here; a path can begin with url, config, secret"},
    {HEAD VERIFY "webhook: {create: {post: /hooks, json: {a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}}}}\n",
     "4:69: webhook.create.json.a.b.c.d.e.f.g.h: nested too deep"},
    {HEAD VERIFY "webhook: {secret: told}\n",
     "4:19: webhook.secret: `told` needs `secret: body.…` at `create` or `reveal`: where it is told"},
    {HEAD VERIFY "webhook: {rotate: second-endpoint}\n",
     "4:19: webhook.rotate: a second endpoint needs the calls `create` and `delete`"},
    {HEAD VERIFY "webhook: {rotate: call}\n",
     "4:19: webhook.rotate: `call` updates the endpoint with another secret: it needs `secret: chosen` and `update`, or write the call here"},
    {HEAD VERIFY "webhook: {rotate: {post: \"/hooks/{id}/roll\"}}\n",
     "4:11: webhook.rotate: where does the new secret come from? `secret: body.…` here, a `reveal` call, or `secret: chosen`"},
    {HEAD VERIFY "webhook: {reveal: {get: \"/hooks/{id}\"}}\n",
     "4:11: webhook.reveal: no `secret`: where the answer has it"},
    {HEAD VERIFY "webhook: {types: {orders: order.placed}}\n",
     "4:19: webhook.types.orders: there is no table 'orders'"},
    {HEAD VERIFY "webhook: {per: table}\n",
     "4:16: webhook.per: 'table' is not one of type"},
    {HEAD VERIFY "webhook: {errors: [{status: 400, cause: full}]}\n",
     "4:41: webhook.errors[0].cause: 'full' is not one of auth, scope, busy, limit, gone, version, cap, other"},
    {HEAD VERIFY "notes: &x y\n",
     "4:9: anchors are not understood here: write the value out where it is used"},
};

START_TEST(is_told_with_place_key_and_reason)
{
    struct report r;
    report_init(&r);
    struct manifest *m = manifest_parse("acme.yaml", span_of(mistakes[_i].text), &r);
    ck_assert_ptr_null(m);
    ck_assert_uint_ge(r.count, 1);
    const char *first = buf_z(&r.text);
    ck_assert_msg(strncmp(first, "acme.yaml:", 10) == 0, "%s", first);
    struct span rest, line = span_cut(span_of(first + 10), '\n', &rest);
    ck_assert_msg(span_eqz(line, mistakes[_i].first), "%s\ngives    %.*s\nexpected %s", mistakes[_i].text, SPAN_ARG(line),
                  mistakes[_i].first);
    report_release(&r);
}
END_TEST

START_TEST(all_of_a_file_are_told_together)
{
    static const char text[] = HEAD "verify:\n"
                                    "  v1:\n"
                                    "    algorithm: hmac-sha256\n"
                                    "    signature: {header: X-Acme-Signature, encoding: hexx}\n"
                                    "    signed: \"{body}\"\n"
                                    "tables:\n"
                                    "  orders:\n"
                                    "    path: /orders\n"
                                    "    order: up\n";
    struct report r;
    report_init(&r);
    ck_assert_ptr_null(manifest_parse("acme.yaml", span_of(text), &r));
    ck_assert_str_eq(buf_z(&r.text),
                     "acme.yaml:6:53: verify.v1.signature.encoding: 'hexx' is not one of hex, base64 (did you mean hex?)\n"
                     "    6 |     signature: {header: X-Acme-Signature, encoding: hexx}\n"
                     "      |                                                     ^^^^\n"
                     "acme.yaml:11:12: tables.orders.order: 'up' must be a field and asc or desc, like `created desc`\n"
                     "   11 |     order: up\n"
                     "      |            ^^\n"
                     "acme.yaml:10:11: tables.orders.path: there is no `api` to call\n"
                     "   10 |     path: /orders\n"
                     "      |           ^^^^^^^\n"
                     "acme.yaml:9:3: tables.orders: no `key`; name the column or columns that make a row one\n"
                     "    9 |   orders:\n"
                     "      |   ^^^^^^\n");
    report_release(&r);
}
END_TEST

START_TEST(too_many_are_cut)
{
    struct buf text;
    buf_init(&text, 0);
    buf_addz(&text, HEAD VERIFY "tables:\n");
    for (int i = 0; i < 50; i++)
        buf_addf(&text, "  t%d: {types: x}\n", i);
    struct report r;
    report_init(&r);
    ck_assert_ptr_null(manifest_parse("acme.yaml", buf_span(&text), &r));
    ck_assert_uint_gt(r.count, REPORT_MAX);
    unsigned told = 0;
    for (const char *p = buf_z(&r.text); (p = strstr(p, "acme.yaml:")) != NULL; p++)
        told++;
    ck_assert_uint_eq(told, REPORT_MAX);
    report_release(&r);
    buf_release(&text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mistakes");
    TCase *t = tcase_create("mistakes");
    tcase_add_loop_test(t, is_told_with_place_key_and_reason, 0, sizeof(mistakes) / sizeof(mistakes[0]));
    tcase_add_test(t, all_of_a_file_are_told_together);
    tcase_add_test(t, too_many_are_cut);
    suite_add_tcase(s, t);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
