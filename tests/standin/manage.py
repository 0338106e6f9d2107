"""Providers' management APIs for webhooks, as their documentation describes them: paths, bodies, answers, refusals.

One table row a provider: how its calls look (parse: a body -> what was asked for; show: an endpoint -> its answer), where they are,
what it says when a permission is missing and when it takes no more endpoints. The server behind is the same for all.
"""
import base64
import http.server
import json
import re
import threading
import time
import urllib.parse
import urllib.request


def basic(pair):
    return "Basic " + base64.b64encode(pair.encode()).decode()


class Endpoint:
    def __init__(self, key, url, types, secret, version=None):
        self.id, self.url, self.types, self.secret, self.version = key, url, types, secret, version
        self.enabled, self.confirmed, self.error = True, False, None


GITLAB_FLAGS = {"push": "push_events", "tag_push": "tag_push_events", "issue": "issues_events", "note": "note_events", "merge_request": "merge_requests_events",
                "pipeline": "pipeline_events", "job": "job_events", "release": "releases_events"}
GRAPHQL = re.compile(r"\b(webhooks|webhookCreate|webhookUpdate|webhookDelete|webhookRotateSecret)\b")


def types_of(form, name):
    return form.get(name, [])


def one(form, name):
    return form.get(name, [None])[0]


def chargebee_parse(f):
    password = one(f, "basic_auth_password")
    return {"url": one(f, "url"), "types": types_of(f, "enabled_events[]"), "secret": "%s:%s" % (one(f, "basic_auth_username"), password) if password else None,
            "enabled": True if one(f, "disabled") == "false" else None, "version": one(f, "api_version")}


def docusign(e):
    return {"connectId": e.id, "urlToPublishTo": e.url, "events": e.types, "allowEnvelopePublish": "true" if e.enabled else "false"}


def klaviyo_parse(b):
    d = b["data"]
    a = d["attributes"]
    return {"url": a.get("endpoint_url"), "secret": a.get("secret_key"), "types": [t["id"] for t in d["relationships"]["webhook-topics"]["data"]], "enabled": a.get("enabled")}


def okta_parse(b):
    c = b["channel"]["config"]
    assert b["events"]["type"] == "EVENT_TYPE" and c["authScheme"]["type"] == "HEADER"
    return {"url": c["uri"], "types": b["events"]["items"], "secret": c["authScheme"]["value"]}


def pagerduty_parse(b):
    w = b["webhook_subscription"]
    assert w["filter"]["type"] == "account_reference" and w["delivery_method"]["type"] == "http_delivery_method"
    return {"url": w["delivery_method"]["url"], "types": w["events"]}


def pagerduty(e, with_secret=False):
    m = {"type": "http_delivery_method", "url": e.url, "temporarily_disabled": not e.enabled}
    if with_secret:
        m["secret"] = e.secret
    return {"id": e.id, "active": True, "delivery_method": m, "events": e.types}


def posthog_parse(b):
    if b.get("deleted"):
        return {"deleted": True}
    i = b["inputs"]
    assert i["body"]["value"] == {"event": "{event}", "person": "{person}"}, i
    return {"url": i["url"]["value"], "secret": i["headers"]["value"]["X-PostHog-Webhook-Secret"], "enabled": b.get("enabled")}


def square(e):
    return {"id": e.id, "notification_url": e.url, "event_types": e.types, "enabled": e.enabled, "api_version": e.version, "signature_key": e.secret}


def github(e):
    return {"id": e.id, "active": e.enabled, "events": e.types, "config": {"url": e.url, "content_type": "json", "secret": "********", "insecure_ssl": "0"}}


def github_parse(b):
    c = b.get("config", b)
    return {"url": c.get("url"), "types": b.get("events"), "secret": c.get("secret"), "enabled": b.get("active")}


def gitlab(e):
    out = {"id": e.id, "url": e.url, "alert_status": "executable" if e.enabled else "disabled", "disabled_until": None, "token_present": True}
    out.update({f: t in e.types for t, f in GITLAB_FLAGS.items()})
    return out


def gitlab_parse(b):
    assert b["enable_ssl_verification"] is True
    return {"url": b["url"], "secret": b["token"], "types": [t for t, f in GITLAB_FLAGS.items() if b[f]], "enabled": True}


def simple(b, url="url", types="events", secret="secret", enabled=None, version=None):
    return {"url": b.get(url), "types": b.get(types), "secret": b.get(secret), "enabled": b.get(enabled) if enabled else None, "version": b.get(version) if version else None}


# name: config (values), secrets (values of secret fields), base (path in front of all), auth, list/create/… as (method, path regex), answers.
P = {}
P["stripe"] = dict(
    config={"api_version": "2026-07-29"}, secrets={"api_key": "rk_live_standin"}, auth=("Authorization", "Bearer rk_live_standin"), ids="we_%d",
    list=("GET", "/v1/webhook_endpoints"), create=("POST", "/v1/webhook_endpoints"), update=("POST", "/v1/webhook_endpoints/(.+)"), delete=("DELETE", "/v1/webhook_endpoints/(.+)"),
    parse=lambda f: {"url": one(f, "url"), "types": types_of(f, "enabled_events[]"), "enabled": True if one(f, "disabled") == "false" else None, "version": one(f, "api_version")},
    show=lambda e: {"id": e.id, "object": "webhook_endpoint", "url": e.url, "enabled_events": e.types, "status": "enabled" if e.enabled else "disabled", "api_version": e.version},
    listed=lambda l: {"object": "list", "data": l, "has_more": False}, made=lambda e, s: dict(s, secret=e.secret), told="whsec_%s", cap=16,
    full=(400, {"error": {"type": "invalid_request_error", "message": "You have reached the maximum of 16 test webhook endpoints."}}),
    forbidden={"error": {"message": "The provided key does not have the required permissions for this endpoint."}}, scope="Webhook Endpoints: write", way="second")
P["github"] = dict(
    config={"org": "acme"}, secrets={"token": "ghp_standin0"}, auth=("Authorization", "Bearer ghp_standin0"), ids=1000, chosen=True,
    list=("GET", "/orgs/acme/hooks"), create=("POST", "/orgs/acme/hooks"), update=("PATCH", "/orgs/acme/hooks/(\\d+)"), delete=("DELETE", "/orgs/acme/hooks/(\\d+)"),
    roll=("PATCH", "/orgs/acme/hooks/(\\d+)/config"), deliveries=("GET", "/orgs/acme/hooks/(\\d+)/deliveries"), parse=github_parse, show=github, listed=lambda l: l,
    sent=lambda e: [{"id": 1, "delivered_at": "2026-05-01T00:00:00Z", "status": e.error or "OK"}], cap=20,
    full=(422, {"message": "Validation Failed", "errors": [{"message": "The \"push\" event cannot have more than 20 hooks"}]}),
    forbidden={"message": "Resource not accessible by personal access token"}, scope="organization webhooks", way="call")
P["shopify"] = dict(
    tables="orders",  # it takes two calls a second, and each topic is a call
    config={"shop": "acme", "api_version": "2026-07"}, secrets={"access_token": "shpat_standin"}, auth=("X-Shopify-Access-Token", "shpat_standin"), ids=100, per_type=True, by_hand=True,
    list=("GET", "/webhooks.json"), create=("POST", "/webhooks.json"), update=("PUT", "/webhooks/(\\d+).json"), delete=("DELETE", "/webhooks/(\\d+).json"),
    parse=lambda b: {"url": b["webhook"]["address"], "types": [b["webhook"]["topic"]] if "topic" in b["webhook"] else None, "version": "2026-07"},
    show=lambda e: {"id": e.id, "address": e.url, "topic": e.types[0], "format": "json", "api_version": e.version}, listed=lambda l: {"webhooks": l}, one=lambda s: {"webhook": s},
    can_disable=False, forbidden={"errors": "[API] This action requires merchant approval for read_orders scope."}, scope="read scope of each topic", way="hand")
P["svix"] = dict(
    config={"app_id": "app_1"}, secrets={"token": "testsk_standin"}, auth=("Authorization", "Bearer testsk_standin"), ids="ep_%d", chosen=True, any_types=True,
    list=("GET", "/api/v1/app/app_1/endpoint/"), create=("POST", "/api/v1/app/app_1/endpoint/"), update=("PUT", "/api/v1/app/app_1/endpoint/([^/]+)/"),
    delete=("DELETE", "/api/v1/app/app_1/endpoint/([^/]+)/"), roll=("POST", "/api/v1/app/app_1/endpoint/([^/]+)/secret/rotate/"),
    parse=lambda b: {"url": b.get("url"), "types": b.get("filterTypes"), "secret": b.get("secret") or b.get("key"), "enabled": None if "disabled" not in b else not b["disabled"]},
    show=lambda e: {"id": e.id, "url": e.url, "filterTypes": e.types or None, "disabled": not e.enabled, "version": 1}, listed=lambda l: {"data": l, "iterator": None, "done": True},
    forbidden={"code": "permission_denied", "detail": "not allowed"}, scope=None, way="call")
P["gitlab"] = dict(
    config={"project": "group/project"}, secrets={"token": "glpat-standin"}, auth=("PRIVATE-TOKEN", "glpat-standin"), ids=10, chosen=True,
    list=("GET", "/projects/group%2Fproject/hooks"), create=("POST", "/projects/group%2Fproject/hooks"), update=("PUT", "/projects/group%2Fproject/hooks/(\\d+)"),
    delete=("DELETE", "/projects/group%2Fproject/hooks/(\\d+)"), parse=gitlab_parse, show=gitlab, listed=lambda l: l, cap=100,
    full=(422, {"error": "Maximum number of project hooks (100) exceeded"}), forbidden={"message": "403 Forbidden"}, scope="Maintainer", way="call")
P["bitbucket"] = dict(
    config={"workspace": "acme", "repository": "shop"}, secrets={"token": "ATCTT_standin"}, auth=("Authorization", "Bearer ATCTT_standin"), ids="{uuid-%d}", chosen=True,
    list=("GET", "/repositories/acme/shop/hooks"), create=("POST", "/repositories/acme/shop/hooks"), update=("PUT", "/repositories/acme/shop/hooks/(.+)"),
    delete=("DELETE", "/repositories/acme/shop/hooks/(.+)"), parse=lambda b: simple(b, enabled="active"),
    show=lambda e: {"uuid": e.id, "url": e.url, "active": e.enabled, "events": e.types, "secret_set": True}, listed=lambda l: {"values": l, "pagelen": 100}, cap=50,
    full=(400, {"type": "error", "error": {"message": "The limit of webhooks is reached"}}), forbidden={"type": "error", "error": {"message": "Your credentials lack one or more required privilege scopes."}},
    scope="webhook", way="call")
P["asana"] = dict(
    config={"workspace": "1", "resource": "2"}, secrets={"token": "asana-standin"}, auth=("Authorization", "Bearer asana-standin"), ids="gid%d", handshake="secret", any_types=True,
    list=("GET", "/webhooks"), create=("POST", "/webhooks"), update=None, delete=("DELETE", "/webhooks/(.+)"), parse=lambda b: {"url": b["data"]["target"]},
    show=lambda e: {"gid": e.id, "target": e.url, "active": e.enabled, "resource": {"gid": "2"}, "last_failure_content": "", "last_success_at": "2026-05-01T00:00:00Z"},
    listed=lambda l: {"data": l}, made=lambda e, s: dict(s, told=e.secret),
    one=lambda s: {"data": {k: v for k, v in s.items() if k != "told"}, **({"X-Hook-Secret": s["told"]} if "told" in s else {})},
    forbidden={"errors": [{"message": "Forbidden"}]}, scope="webhooks: write", way=None)
P["bigcommerce"] = dict(
    config={"store_hash": "abc"}, secrets={"access_token": "bc-standin"}, auth=("X-Auth-Token", "bc-standin"), ids=7000, chosen=True, per_type=True,
    list=("GET", "/v3/hooks"), create=("POST", "/v3/hooks"), update=("PUT", "/v3/hooks/(\\d+)"), delete=("DELETE", "/v3/hooks/(\\d+)"),
    parse=lambda b: {"url": b["destination"], "types": [b["scope"]], "secret": b["headers"]["X-Sluice-Token"], "enabled": b["is_active"]},
    show=lambda e: {"id": e.id, "destination": e.url, "scope": e.types[0], "is_active": e.enabled}, listed=lambda l: {"data": l, "meta": {}}, one=lambda s: {"data": s},
    forbidden={"status": 403, "title": "You don't have a required scope to access the endpoint"}, scope="OAuth scope", way="call")
P["calendly"] = dict(
    config={"organization": "https://api.calendly.com/organizations/O"}, secrets={"token": "cal-standin"}, auth=("Authorization", "Bearer cal-standin"),
    ids="https://api.calendly.com/webhook_subscriptions/w%d", key=lambda e: e.id.rsplit("/", 1)[1], chosen=True, list=("GET", "/webhook_subscriptions"), create=("POST", "/webhook_subscriptions"),
    update=None, delete=("DELETE", "/webhook_subscriptions/(.+)"), parse=lambda b: simple(b, secret="signing_key"),
    show=lambda e: {"uri": e.id, "callback_url": e.url, "events": e.types, "state": "active" if e.enabled else "disabled"}, listed=lambda l: {"collection": l, "pagination": {}}, one=lambda s: {"resource": s},
    forbidden={"title": "Permission Denied", "message": "You do not have permission"}, scope="organisation owner", way="second")
P["chargebee"] = dict(
    config={"site": "acme-test"}, secrets={"api_key": "cb_standin"}, auth=("Authorization", basic("cb_standin:")), ids="whe_%d", chosen=True,
    list=("GET", "/webhook_endpoints"), create=("POST", "/webhook_endpoints"), update=("POST", "/webhook_endpoints/([^/]+)"), delete=("POST", "/webhook_endpoints/([^/]+)/delete"),
    parse=chargebee_parse, show=lambda e: {"id": e.id, "url": e.url, "enabled_events": e.types, "disabled": not e.enabled, "api_version": e.version or "v2"},
    listed=lambda l: {"list": [{"webhook_endpoint": x} for x in l]}, one=lambda s: {"webhook_endpoint": s}, cap=5,
    full=(400, {"message": "You can have at most 5 webhooks", "api_error_code": "configuration_incompatible"}),
    forbidden={"message": "The API key does not have the permission", "api_error_code": "api_authorization_failed"}, scope="full access", way="call")
P["discord"] = dict(
    config={}, secrets={"token": "bot-standin"}, auth=("Authorization", "Bot bot-standin"), ids="app%d", singleton=True, by_hand=True,
    list=("GET", "/applications/@me"), create=("PATCH", "/applications/@me"), update=("PATCH", "/applications/@me"), delete=("PATCH", "/applications/@me"),
    parse=lambda b: {"url": b["event_webhooks_url"], "types": b["event_webhooks_types"], "enabled": b["event_webhooks_status"] == 2, "deleted": b["event_webhooks_url"] is None},
    show=lambda e: {"id": e.id, "event_webhooks_url": e.url, "event_webhooks_types": e.types, "event_webhooks_status": 2 if e.enabled else 3},
    listed=lambda l: l[0] if l else {"id": "app0", "event_webhooks_url": None, "event_webhooks_status": 1}, forbidden={"message": "Missing Access", "code": 50001}, scope="bot token", way="hand")
P["docusign"] = dict(
    config={"base_uri": "na3.docusign.net", "account": "a1"}, secrets={"token": "ds-standin"}, auth=("Authorization", "Bearer ds-standin"), ids="%d", by_hand=True,
    list=("GET", "/connect"), create=("POST", "/connect"), update=("PUT", "/connect"), delete=("DELETE", "/connect/(.+)"), deliveries=("GET", "/connect/failures"),
    parse=lambda b: {"url": b["urlToPublishTo"], "types": b["events"], "enabled": b["allowEnvelopePublish"] == "true", "id": b.get("connectId")}, show=docusign,
    sent=lambda e: {"failures": []}, listed=lambda l: {"configurations": l}, forbidden={"errorCode": "USER_LACKS_PERMISSIONS", "message": "This user lacks sufficient permissions"},
    scope="account administrator", way="hand")
P["jira"] = dict(
    config={"site": "acme", "email": "a@acme.example"}, secrets={"token": "jira-standin"}, auth=("Authorization", basic("a@acme.example:jira-standin")),
    ids="https://acme.atlassian.net/rest/webhooks/1.0/webhook/%d", key=lambda e: e.id.rsplit("/", 1)[1], chosen=True, list=("GET", "/rest/webhooks/1.0/webhook"), create=("POST", "/rest/webhooks/1.0/webhook"),
    update=("PUT", "/rest/webhooks/1.0/webhook/(\\d+)"), delete=("DELETE", "/rest/webhooks/1.0/webhook/(\\d+)"), parse=lambda b: simple(b, enabled="enabled"),
    show=lambda e: {"self": e.id, "url": e.url, "events": e.types, "enabled": e.enabled}, listed=lambda l: l, forbidden={"messages": [{"key": "no.permission"}]}, scope="Administer Jira", way="call")
P["klaviyo"] = dict(
    config={}, secrets={"api_key": "pk_standin"}, auth=("Authorization", "Klaviyo-API-Key pk_standin"), ids="kw%d", chosen=True,
    list=("GET", "/api/webhooks"), create=("POST", "/api/webhooks"), update=("PATCH", "/api/webhooks/(.+)"), delete=("DELETE", "/api/webhooks/(.+)"), parse=klaviyo_parse,
    show=lambda e: {"type": "webhook", "id": e.id, "attributes": {"endpoint_url": e.url, "enabled": e.enabled},
                    "relationships": {"webhook-topics": {"data": [{"type": "webhook-topic", "id": t} for t in e.types]}}},
    listed=lambda l: {"data": l}, one=lambda s: {"data": s}, cap=10, full=(400, {"errors": [{"code": "webhook_limit_reached", "detail": "10 webhooks"}]}),
    forbidden={"errors": [{"code": "permission_denied", "detail": "scope"}]}, scope="webhooks:write", way="call")
P["linear"] = dict(
    config={}, secrets={"api_key": "lin_api_standin"}, auth=("Authorization", "lin_api_standin"), ids="lw%d", graphql=True, told="lin_wh_%s",
    parse=lambda i: {"url": i.get("url"), "types": i.get("resourceTypes"), "enabled": i.get("enabled")},
    show=lambda e: {"id": e.id, "url": e.url, "enabled": e.enabled, "resourceTypes": e.types}, scope="admin", way="call")
P["meta"] = dict(
    config={"app_id": "77", "object": "page"}, secrets={"token": "77|standin", "verify_token": "vt-standin-0123456"}, auth=("Authorization", "Bearer 77|standin"), ids="page", by_hand=True, upsert=True,
    list=("GET", "/77/subscriptions"), create=("POST", "/77/subscriptions"), update=("POST", "/77/subscriptions"), delete=("DELETE", "/77/subscriptions"),
    parse=lambda f: {"url": one(f, "callback_url"), "types": one(f, "fields").split(","), "enabled": True, "id": one(f, "object")},
    show=lambda e: {"object": e.id, "callback_url": e.url, "active": e.enabled, "fields": [{"name": t, "version": "v23.0"} for t in e.types]}, listed=lambda l: {"data": l}, one=lambda s: {"success": True},
    forbidden={"error": {"message": "(#200) permission", "code": 200}}, scope="app access token", way="hand")
P["okta"] = dict(
    config={"org": "acme"}, secrets={"token": "00standin"}, auth=("Authorization", "SSWS 00standin"), ids="who%d", chosen=True, list=("GET", "/api/v1/eventHooks"), create=("POST", "/api/v1/eventHooks"),
    update=("PUT", "/api/v1/eventHooks/([^/]+)"), delete=("DELETE", "/api/v1/eventHooks/([^/]+)"), confirm=("POST", "/api/v1/eventHooks/([^/]+)/lifecycle/verify"),
    enable=("POST", "/api/v1/eventHooks/([^/]+)/lifecycle/activate"), parse=okta_parse,
    show=lambda e: {"id": e.id, "status": "ACTIVE" if e.enabled else "INACTIVE", "events": {"type": "EVENT_TYPE", "items": e.types}, "channel": {"config": {"uri": e.url}}}, listed=lambda l: l, cap=25,
    full=(400, {"errorSummary": "The maximum number of event hooks is reached"}), forbidden={"errorCode": "E0000006", "errorSummary": "You do not have permission"}, scope="okta.eventHooks.manage", way="call")
P["paddle"] = dict(
    config={}, secrets={"api_key": "pdl_standin"}, auth=("Authorization", "Bearer pdl_standin"), ids="ntfset_%d", told="pdl_ntfset_%s",
    list=("GET", "/notification-settings"), create=("POST", "/notification-settings"), update=("PATCH", "/notification-settings/(.+)"), delete=("DELETE", "/notification-settings/(.+)"),
    reveal=("GET", "/notification-settings/(.+)"), parse=lambda b: {"url": b["destination"], "types": b["subscribed_events"], "enabled": b.get("active"), "version": b.get("api_version")},
    show=lambda e: {"id": e.id, "destination": e.url, "active": e.enabled, "api_version": e.version, "subscribed_events": [{"name": t} for t in e.types], "endpoint_secret_key": e.secret},
    listed=lambda l: {"data": l}, one=lambda s: {"data": s}, cap=10, full=(400, {"error": {"code": "notification_maximum_active_settings_reached", "detail": "10"}}),
    forbidden={"error": {"code": "forbidden", "detail": "You aren't permitted"}}, scope="notification_setting.write", way="second")
P["pagerduty"] = dict(
    config={}, secrets={"token": "pd-standin"}, auth=("Authorization", "Token token=pd-standin"), ids="PD%d", told="%s", list=("GET", "/webhook_subscriptions"), create=("POST", "/webhook_subscriptions"),
    update=("PUT", "/webhook_subscriptions/([^/]+)"), delete=("DELETE", "/webhook_subscriptions/([^/]+)"), enable=("POST", "/webhook_subscriptions/([^/]+)/enable"), parse=pagerduty_parse, show=pagerduty,
    listed=lambda l: {"webhook_subscriptions": l}, one=lambda s: {"webhook_subscription": s}, made=lambda e, s: pagerduty(e, True), cap=10,
    full=(400, {"error": {"message": "Invalid Input Provided", "errors": ["The account limit for webhook subscriptions is reached"]}}), forbidden={"error": {"message": "Access Denied"}},
    scope="webhook_subscriptions.write", way="second")
P["posthog"] = dict(
    config={"project": "5"}, secrets={"api_key": "phx_standin"}, auth=("Authorization", "Bearer phx_standin"), ids="hog%d", chosen=True, any_types=True,
    list=("GET", "/api/projects/5/hog_functions/"), create=("POST", "/api/projects/5/hog_functions/"), update=("PATCH", "/api/projects/5/hog_functions/([^/]+)/"),
    delete=("PATCH", "/api/projects/5/hog_functions/([^/]+)/"), parse=posthog_parse, show=lambda e: {"id": e.id, "enabled": e.enabled, "inputs": {"url": {"value": e.url}, "headers": {"secret": True}}},
    listed=lambda l: {"results": l, "next": None}, forbidden={"type": "authentication_error", "detail": "API key missing required scope 'hog_function:write'"}, scope="hog_function:write", way="call")
P["square"] = dict(
    config={"api_version": "2026-05-20"}, secrets={"token": "EAAA_standin"}, auth=("Authorization", "Bearer EAAA_standin"), ids="wbhk_%d", told="%s",
    list=("GET", "/v2/webhooks/subscriptions"), create=("POST", "/v2/webhooks/subscriptions"), update=("PUT", "/v2/webhooks/subscriptions/([^/]+)"), delete=("DELETE", "/v2/webhooks/subscriptions/([^/]+)"),
    reveal=("GET", "/v2/webhooks/subscriptions/([^/]+)"), roll=("POST", "/v2/webhooks/subscriptions/([^/]+)/signature-key"), rolled=lambda e: {"signature_key": e.secret},
    parse=lambda b: simple(b["subscription"], "notification_url", "event_types", enabled="enabled", version="api_version"), show=square, listed=lambda l: {"subscriptions": l} if l else {}, one=lambda s: {"subscription": s},
    cap=100, full=(400, {"errors": [{"detail": "The maximum number of subscriptions is reached"}]}), forbidden={"errors": [{"code": "FORBIDDEN", "detail": "no permission"}]},
    scope="DEVELOPER_APPLICATION_WEBHOOKS_WRITE", way="call")
P["trello"] = dict(
    config={"key": "kk", "model": "m1"}, secrets={"token": "tt-standin"}, auth=("Authorization", 'OAuth oauth_consumer_key="kk", oauth_token="tt-standin"'), ids="tw%d", by_hand=True, any_types=True,
    list=("GET", "/tokens/tt-standin/webhooks"), create=("POST", "/webhooks"), update=("PUT", "/webhooks/(.+)"), delete=("DELETE", "/webhooks/(.+)"),
    parse=lambda b: {"url": b["callbackURL"], "enabled": b["active"]}, show=lambda e: {"id": e.id, "callbackURL": e.url, "active": e.enabled, "idModel": "m1", "firstConsecutiveFailDate": None}, listed=lambda l: l,
    forbidden={"message": "unauthorized permission requested"}, scope="write", way="hand")
P["typeform"] = dict(
    config={"form": "f1"}, secrets={"token": "tfp_standin"}, auth=("Authorization", "Bearer tfp_standin"), ids="sluice-s", chosen=True, any_types=True, upsert=True,
    list=("GET", "/forms/f1/webhooks"), create=("PUT", "/forms/f1/webhooks/(.+)"), update=("PUT", "/forms/f1/webhooks/(.+)"), delete=("DELETE", "/forms/f1/webhooks/(.+)"),
    parse=lambda b: dict(simple(b, enabled="enabled"), id="sluice-s"), show=lambda e: {"tag": e.id, "url": e.url, "enabled": e.enabled, "form_id": "f1"}, listed=lambda l: {"items": l},
    forbidden={"code": "AUTHENTICATION_FAILED", "description": "Authentication credentials lack scope"}, scope="webhooks:write", way="call")
P["woocommerce"] = dict(
    config={"site": "shop.example"}, secrets={"consumer_key": "ck_standin", "consumer_secret": "cs_standin"}, auth=("Authorization", basic("ck_standin:cs_standin")), ids=40, chosen=True, per_type=True,
    list=("GET", "/webhooks"), create=("POST", "/webhooks"), update=("PUT", "/webhooks/(\\d+)"), delete=("DELETE", "/webhooks/(\\d+)"),
    parse=lambda b: {"url": b["delivery_url"], "types": [b["topic"]], "secret": b["secret"], "enabled": b["status"] == "active"},
    show=lambda e: {"id": e.id, "delivery_url": e.url, "topic": e.types[0], "status": "active" if e.enabled else "disabled"}, listed=lambda l: l,
    forbidden={"code": "woocommerce_rest_cannot_create", "message": "Sorry, you are not allowed to create resources."}, scope="read and write", way="call")
P["zendesk"] = dict(
    config={"subdomain": "acme", "email": "a@acme.example"}, secrets={"token": "zd-standin"}, auth=("Authorization", basic("a@acme.example/token:zd-standin")), ids="01Z%d", told="%s",
    list=("GET", "/api/v2/webhooks"), create=("POST", "/api/v2/webhooks"), update=("PUT", "/api/v2/webhooks/([^/]+)"), delete=("DELETE", "/api/v2/webhooks/([^/]+)"),
    reveal=("GET", "/api/v2/webhooks/([^/]+)/signing_secret"), roll=("POST", "/api/v2/webhooks/([^/]+)/signing_secret"), deliveries=("GET", "/api/v2/webhooks/([^/]+)/invocations"),
    shown_secret=lambda e: {"signing_secret": {"algorithm": "SHA256", "secret": e.secret}}, rolled=lambda e: {"signing_secret": {"algorithm": "SHA256", "secret": e.secret}},
    parse=lambda b: {"url": b["webhook"]["endpoint"], "types": b["webhook"]["subscriptions"], "enabled": b["webhook"]["status"] == "active"},
    show=lambda e: {"id": e.id, "endpoint": e.url, "subscriptions": e.types, "status": "active" if e.enabled else "inactive"}, listed=lambda l: {"webhooks": l, "meta": {"has_more": False}}, one=lambda s: {"webhook": s},
    sent=lambda e: {"invocations": [{"status": "success", "latest_completed_at": "2026-05-01T00:00:00Z"}]}, cap=None,
    forbidden={"error": "Forbidden", "message": "You do not have access to this page"}, scope="webhooks:write", way="call")
P["adyen"] = dict(
    config={"merchant": "Acme"}, secrets={"api_key": "AQE_standin"}, auth=("X-API-Key", "AQE_standin"), ids="S2-%d", told="%s", any_types=True,
    list=("GET", "/merchants/Acme/webhooks"), create=("POST", "/merchants/Acme/webhooks"), update=("PATCH", "/merchants/Acme/webhooks/([^/]+)"), delete=("DELETE", "/merchants/Acme/webhooks/([^/]+)"),
    roll=("POST", "/merchants/Acme/webhooks/([^/]+)/generateHmac"), rolled=lambda e: {"hmacKey": e.secret}, parse=lambda b: simple(b, enabled="active"),
    show=lambda e: {"id": e.id, "url": e.url, "active": e.enabled}, listed=lambda l: {"data": l} if l else {"data": []}, forbidden={"title": "Forbidden", "detail": "PA001 Not the right permission"},
    scope="Webhooks read and write", way="call")


class Manage:
    """with Manage("stripe") as m: …   m.endpoints, m.calls (of what changed something), m.mode: None, "forbidden", "full", "unauthorized"."""

    def __init__(self, name, door=None):
        self.name, self.p, self.door = name, P[name], door
        self.endpoints, self.calls, self.n = [], [], 0
        self.mode, self.lock = None, threading.RLock()
        self.secrets_told = []  # all that it ever signed with
        self.cut = 0  # so many answers to a create are never sent
        self.slow = 0  # seconds before each answer
        self.lists, self.pages = {}, 0  # path -> the one page of a list API
        self.before_answer = None  # called with (verb, endpoint) before a call is answered: the provider signs with it already

    # -- what it holds ----------------------------------------------------------------------------------------------
    def new_id(self):
        self.n += 1
        ids = self.p["ids"]
        return ids + self.n if isinstance(ids, int) else ids % self.n if "%d" in ids else ids

    def new_secret(self):
        self.n += 1
        key = ("stand-in secret %06d of %s" % (self.n, self.name)).encode().ljust(32, b".")
        text = self.p["told"] % (key.hex() if self.name == "adyen" else base64.b64encode(key).decode())
        self.secrets_told.append(text)
        return text

    def by_key(self, key):
        key = urllib.parse.unquote(key)
        get = self.p.get("key", lambda e: str(e.id))
        return next((e for e in self.endpoints if get(e) == key), None)

    def add(self, asked):
        secret = asked.get("secret")
        if "told" in self.p:
            secret = self.new_secret()
        elif secret:
            self.secrets_told.append(secret)
        e = Endpoint(asked.get("id") or self.new_id(), asked["url"], list(asked.get("types") or []), secret, asked.get("version"))
        self.endpoints.append(e)
        return e

    def change(self, e, asked):
        for name in ("url", "types", "secret", "enabled"):
            if asked.get(name) is not None:
                setattr(e, name, asked[name])
        if asked.get("secret"):
            self.secrets_told.append(asked["secret"])

    # -- calls ------------------------------------------------------------------------------------------------------
    def answer(self, method, path, headers, body):
        p = self.p
        if self.mode == "unauthorized" or headers.get(p["auth"][0]) != p["auth"][1]:
            return (200, {"errors": [{"message": "no", "extensions": {"type": "authentication error"}}]}) if p.get("graphql") else (401, {"message": "bad credential"})
        if method == "GET" and path in self.lists:
            self.pages += 1
            return 200, self.lists[path]
        if p.get("graphql"):
            return self.graphql(json.loads(body))
        for verb in ("deliveries", "roll", "confirm", "enable", "reveal", "list", "create", "update", "delete"):
            route = p.get(verb)
            m = route and route[0] == method and re.fullmatch(route[1], path)
            if not m or (verb == "create" and p.get("upsert") and self.endpoints) or (verb == "create" and p.get("singleton") and (self.endpoints or json.loads(body)["event_webhooks_url"] is None)):
                continue
            if verb == "reveal" and "shown_secret" not in p and not self.by_key(m.group(1)):
                return 404, {"error": "gone"}
            if self.mode == "forbidden" and verb != "list":
                return 403, p["forbidden"]
            return self.call(verb, m, headers, body)
        return 404, {"error": "no such path"}

    def parsed(self, headers, body):
        if "json" in headers.get("Content-Type", ""):
            return self.p["parse"](json.loads(body))
        return self.p["parse"](urllib.parse.parse_qs(body.decode(), keep_blank_values=True))

    def call(self, verb, m, headers, body):
        p = self.p
        wrap = p.get("one", lambda s: s)
        if verb == "list":
            return 200, p["listed"]([p["show"](e) for e in self.endpoints])
        if verb == "create":
            asked = self.parsed(headers, body)
            self.calls.append(verb)
            if self.mode == "full":
                return p["full"]
            e = self.add(asked)
            if not self.shake(e):
                self.endpoints.remove(e)
                return 400, {"errors": [{"message": "The remote server did not respond with the handshake secret"}]}
            if self.before_answer:
                self.before_answer(verb, e)
            return 201, wrap(p.get("made", lambda e, s: s)(e, p["show"](e)))
        e = self.by_key(m.group(1)) if m.groups() else self.endpoints[0] if self.endpoints else None
        if verb == "update" and not m.groups():
            e = next((x for x in self.endpoints if str(x.id) == str(self.parsed(headers, body).get("id") or x.id)), None)
        if not e:
            return 404, {"message": "Not Found"}
        if verb == "reveal":
            return 200, p.get("shown_secret", lambda e: wrap(p["show"](e)))(e)
        if verb == "deliveries":
            return 200, p["sent"](e)
        self.calls.append(verb)
        if verb == "delete" or (verb == "update" and body and self.parsed(headers, body).get("deleted")):
            self.endpoints.remove(e)
            return 200, {}
        if verb == "update":
            self.change(e, self.parsed(headers, body))
        elif verb == "roll" and "told" in p:
            e.secret = self.new_secret()
        elif verb == "roll":
            asked = self.parsed(headers, body)
            self.change(e, {"secret": asked["secret"]})
        elif verb == "confirm":
            e.confirmed = True
        elif verb == "enable":
            e.enabled = True
        if self.before_answer:
            self.before_answer(verb, e)
        if verb == "roll":
            return 200, p.get("rolled", lambda e: {})(e)
        return 200, wrap(p["show"](e))

    def graphql(self, body):
        p, v = self.p, body.get("variables") or {}
        verb = GRAPHQL.search(body["query"]).group(1)
        assert body["query"].count("{") == body["query"].count("}")
        if verb == "webhooks":
            return 200, {"data": {"webhooks": {"nodes": [p["show"](e) for e in self.endpoints]}}}
        if self.mode == "forbidden":
            return 200, {"errors": [{"message": "Forbidden", "extensions": {"type": "forbidden"}}]}
        self.calls.append(verb)
        if verb == "webhookCreate":
            e = self.add(p["parse"](v["input"]))
            if self.before_answer:
                self.before_answer("create", e)
            return 200, {"data": {verb: {"success": True, "webhook": {"id": e.id, "secret": e.secret}}}}
        e = self.by_key(v["id"])
        if not e:
            return 200, {"errors": [{"message": "Entity not found: Webhook"}]}
        if verb == "webhookDelete":
            self.endpoints.remove(e)
        elif verb == "webhookUpdate":
            self.change(e, p["parse"](v["input"]))
        else:
            e.secret = self.new_secret()
            if self.before_answer:
                self.before_answer("roll", e)
            return 200, {"data": {verb: {"success": True, "secret": e.secret}}}
        return 200, {"data": {verb: {"success": True}}}

    def shake(self, e):
        if self.p.get("handshake") != "secret":
            return True
        e.secret = "asana handshake secret %d".replace(" ", "-") % self.n
        self.secrets_told.append(e.secret)
        request = urllib.request.Request(self.door, data=b"{}", headers={"X-Hook-Secret": e.secret}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=5) as r:
                return r.headers.get("X-Hook-Secret") == e.secret
        except OSError:
            return False

    # -- the server -------------------------------------------------------------------------------------------------
    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0]
                with outer.lock:
                    status, out = outer.answer(self.command, path, self.headers, body)
                text = json.dumps(out).encode()
                time.sleep(outer.slow)
                if outer.cut and self.command == "POST" and outer.calls[-1:] == ["create"]:
                    outer.cut -= 1
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                try:
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # who asked was killed

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base = "http://127.0.0.1:%d" % self.server.server_address[1]
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
