/* How a field becomes text whose byte order is the order of values:
 *   "0"                                       absent, null
 *   "1" 4 <9 - exponent digits> <9 - digits> ~  negative number
 *   "1" 5                                     zero
 *   "1" 6 <exponent + 10^9, 10 digits> <digits> positive number 0.<digits> * 10^exponent
 *   "2" <20 digits of microseconds>           instant
 *   "3" <text>                                text; bytes up to '!' and from '~' on are escaped, in order
 * A field ends with a space, which is below every byte that it may hold, so a value sorts before what it is a
 * prefix of. A negative number ends with '~', above every digit, for the opposite reason. */
#include "transforms/version.h"
#include "transforms/instant.h"

#define EXPONENT_LIMIT INT64_C(999999999)

uint64_t clamp_ahead(uint64_t time_us, uint64_t received_us)
{
    if (received_us > UINT64_MAX - CLOCK_AHEAD_US_MAX)
        return time_us;
    return time_us > received_us + CLOCK_AHEAD_US_MAX ? received_us : time_us;
}

/* The width is even. */
static void add_digits(struct buf *out, uint64_t v, size_t width)
{
    char text[20];
    for (size_t i = width; i > 0; v /= 100) {
        unsigned two = (unsigned)(v % 100), tens = two / 10;
        text[--i] = (char)('0' + two - 10 * tens);
        text[--i] = (char)('0' + tens);
    }
    buf_add(out, text, width);
}

static void add_text(struct buf *out, struct span s)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* where the run of bytes that stay begins */
    for (size_t i = 0; i <= s.n; i++) {
        unsigned char c = i < s.n ? (unsigned char)s.p[i] : 0;
        if (i < s.n && c > '!' && c < '~')
            continue;
        buf_add(out, s.p + plain, i - plain);
        plain = i + 1;
        if (i == s.n)
            break;
        if (c <= '!') {
            char escaped[2] = {'!', (char)('0' + c)};
            buf_add(out, escaped, sizeof(escaped));
        } else {
            char escaped[3] = {'~', hex[c >> 4], hex[c & 15]};
            buf_add(out, escaped, sizeof(escaped));
        }
    }
}

struct decimal { /* 0.<digits> * 10^exponent; digits lie in `text` from `first` to `end`, a point among them is skipped */
    bool negative, zero;
    struct span text;
    size_t first, end;
    int64_t exponent;
};

static int64_t parse_exponent(struct span s)
{
    int64_t v = 0;
    size_t i = 0;
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        i = 1;
    for (; i < s.n && v <= EXPONENT_LIMIT; i++)
        v = v * 10 + (s.p[i] - '0');
    return negative ? -v : v;
}

/* `number` has the syntax of a JSON number (leading zeros allowed). */
static struct decimal decimal_of(struct span number)
{
    struct decimal d = {.text = number, .zero = true};
    size_t mantissa_end = number.n, point = number.n, i = 0;
    for (size_t k = 0; k < number.n; k++) {
        if (number.p[k] == 'e' || number.p[k] == 'E') {
            d.exponent = parse_exponent(span_skip(number, k + 1));
            mantissa_end = k;
            break;
        }
        if (number.p[k] == '.')
            point = k;
    }
    if (point > mantissa_end)
        point = mantissa_end;
    if (number.n && number.p[0] == '-') {
        d.negative = true;
        i = 1;
    }
    for (; i < mantissa_end; i++) {
        if (number.p[i] == '.' || number.p[i] == '0')
            continue;
        if (d.zero)
            d.first = i;
        d.zero = false;
        d.end = i + 1;
    }
    if (!d.zero)
        d.exponent += d.first < point ? (int64_t)(point - d.first) : -(int64_t)(d.first - point - 1);
    if (d.exponent > EXPONENT_LIMIT)
        d.exponent = EXPONENT_LIMIT;
    if (d.exponent < -EXPONENT_LIMIT)
        d.exponent = -EXPONENT_LIMIT;
    return d;
}

static void add_number(struct buf *out, struct span number)
{
    struct decimal d = decimal_of(number);
    if (d.zero) {
        buf_addz(out, "15");
        return;
    }
    uint64_t biased = (uint64_t)(d.exponent + INT64_C(1000000000));
    buf_addz(out, d.negative ? "14" : "16");
    add_digits(out, d.negative ? UINT64_C(9999999999) - biased : biased, 10);
    for (size_t i = d.first; i < d.end; i++) {
        char c = d.text.p[i];
        if (c != '.')
            buf_addc(out, d.negative ? (char)('9' - c + '0') : c);
    }
    if (d.negative)
        buf_addc(out, '~');
}

static void add_instant(struct buf *out, uint64_t us, uint64_t received_us)
{
    buf_addc(out, '2');
    add_digits(out, clamp_ahead(us, received_us), 20);
}

static bool is_integer(struct span s)
{
    if (s.n && s.p[0] == '-')
        s = span_skip(s, 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.n > 0;
}

static void add_field(struct buf *out, const struct json *v, enum time_unit unit, uint64_t received_us)
{
    uint64_t us;
    struct buf decoded = {0};
    struct span text = v->raw;
    switch (v->type) {
    case JSON_NONE:
    case JSON_NULL:
        buf_addc(out, '0');
        return;
    case JSON_NUMBER:
        if ((unit == UNIT_S || unit == UNIT_MS) && instant_parse(text, unit, &us))
            add_instant(out, us, received_us);
        else
            add_number(out, text);
        return;
    case JSON_STRING:
        text = json_inner(*v);
        if (text.n && memchr(text.p, '\\', text.n)) {
            json_unescape(&decoded, text);
            out->failed |= !buf_ok(&decoded);
            text = buf_span(&decoded);
        }
        break;
    default:
        break;
    }
    /* A number that a provider spells as a string is still a number: "9" is older than "10". */
    if (v->type == JSON_STRING && instant_parse(text, unit, &us)) {
        add_instant(out, us, received_us);
    } else if (v->type == JSON_STRING && is_integer(text)) {
        add_number(out, text);
    } else {
        buf_addc(out, '3');
        add_text(out, text);
    }
    buf_release(&decoded);
}

static void add_place(struct buf *out, const struct version_parts *p)
{
    add_digits(out, p->came_us, 20);
    buf_addc(out, ' ');
    add_text(out, p->node);
    buf_addc(out, ' ');
    add_text(out, p->lane);
    buf_addc(out, ' ');
    add_digits(out, p->seq, 20);
    buf_addc(out, ' ');
    add_digits(out, p->item, 10);
    buf_addc(out, ' ');
    add_digits(out, p->transform, 10);
}

void version_upsert(struct buf *out, const struct version_parts *p)
{
    for (size_t i = 0; i < p->n_fields; i++) {
        add_field(out, &p->fields[i], p->unit, p->received_us);
        buf_addc(out, ' ');
    }
    add_digits(out, clamp_ahead(p->observed_us, p->received_us), 20);
    buf_addc(out, ' ');
    add_digits(out, p->rank, 4);
    buf_addz(out, p->page ? " 0 " : " 1 ");
    add_place(out, p);
}

void version_tombstone(struct buf *out, const struct version_parts *p)
{
    add_digits(out, clamp_ahead(p->observed_us, p->received_us), 20);
    buf_addc(out, ' ');
    add_place(out, p);
}
