/* Core's answers: from a message, and to an Ask once Python has decided. */
#include "dns_python.h"

int python_core(PyObject *object, module_state *state, core_object **out)
{
    *out = (core_object *)object;
    if (Py_IS_TYPE(object, (PyTypeObject *)state->core))
        return 1;
    PyErr_SetString(PyExc_TypeError, "not a Core");
    return 0;
}

int python_ask(PyObject *object, module_state *state, ask_object **out)
{
    *out = (ask_object *)object;
    if (Py_IS_TYPE(object, (PyTypeObject *)state->ask))
        return 1;
    PyErr_SetString(PyExc_TypeError, "not an Ask");
    return 0;
}

int python_milliseconds(PyObject *number, uint64_t *out)
{
    *out = PyLong_AsUnsignedLongLong(number);
    return !PyErr_Occurred();
}

int python_door(int transport, int family)
{
    if (transport >= 0 && transport < COUNTS_TRANSPORTS && (family == 4 || family == 6))
        return 1;
    PyErr_SetString(PyExc_ValueError, "no such transport or family");
    return 0;
}

static PyObject *answer_bytes(const core_object *self, const core_outcome *o)
{
    return PyBytes_FromStringAndSize((const char *)self->answer, (Py_ssize_t)o->size);
}

/* The outcome of one message as an object, counted. */
static PyObject *outcome(core_object *self, const core_outcome *o, const uint8_t *message, int transport, uint64_t since_ns)
{
    core_counted(&self->core, o, worker_clock_ns() - since_ns);
    if (o->kind == CORE_SILENCE)
        Py_RETURN_NONE;
    if (o->kind == CORE_ANSWER)
        return answer_bytes(self, o);
    asked a;
    const dns_question *q = &self->work.q;
    fingerprint key = o->kind == CORE_ASK_MISS ? self->work.key : cache_key(self->core.key, q);
    memset(&a.client, 0, sizeof a.client);
    asked_fill(&a, q, message, &o->hits, key, self->core.policy.epoch, since_ns);
    a.why = o->kind == CORE_ASK_HITS ? ASKED_HITS : ASKED_MISS;
    return ask_new(python_state((PyObject *)self), &a, (unsigned)transport);
}

static PyObject *message(PyObject *object, PyObject *args, const char *format, int may_ask)
{
    core_object *self = (core_object *)object;
    Py_buffer packet;
    PyObject *now, *result = 0;
    uint64_t now_ms, since_ns = worker_clock_ns();
    int transport, family;
    core_outcome o;
    if (!PyArg_ParseTuple(args, format, &packet, &transport, &family, &now))
        return 0;
    if (python_door(transport, family) && python_milliseconds(now, &now_ms)) {
        if (may_ask)
            core_handle(&self->core, packet.buf, (size_t)packet.len, (unsigned)transport, (unsigned)family, now_ms, &self->work, self->answer, &o);
        else
            core_prohibit(&self->core, packet.buf, (size_t)packet.len, (unsigned)transport, (unsigned)family, &self->work.q, self->answer, &o);
        result = outcome(self, &o, packet.buf, transport, since_ns);
    }
    PyBuffer_Release(&packet);
    return result;
}

PyObject *core_py_handle(PyObject *object, PyObject *args) { return message(object, args, "y*iiO:handle", 1); }

PyObject *core_py_prohibit(PyObject *object, PyObject *args) { return message(object, args, "y*iiO:prohibit", 0); }

/* The room of an Ask's answer, its question laid down. */
static size_t begin(core_object *self, const ask_object *ask)
{
    memcpy(self->answer, ask->a.question, ask->a.q.end);
    return answer_room(&ask->a.q, self->core.policy.settings.udp_max, ask->transport != TRANSPORT_UDP);
}

static PyObject *end(core_object *self, const ask_object *ask, const core_outcome *o)
{
    core_counted(&self->core, o, worker_clock_ns() - ask->a.since_ns);
    if (o->kind != CORE_ANSWER)
        Py_RETURN_NONE;
    return answer_bytes(self, o);
}

static const verdict *verdict_number(const core_object *self, PyObject *number)
{
    unsigned long n = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return 0;
    if (n < self->core.policy.verdicts.n)
        return &self->core.policy.verdicts.verdicts[n];
    PyErr_SetString(PyExc_ValueError, "no such verdict");
    return 0;
}

static PyObject *known(PyObject *object, PyObject *args, const char *format, int stale_now)
{
    core_object *self = (core_object *)object;
    PyObject *argument, *now;
    uint64_t now_ms;
    ask_object *ask;
    core_outcome o;
    if (!PyArg_ParseTuple(args, format, &argument, &now) || !python_ask(argument, python_state(object), &ask) || !python_milliseconds(now, &now_ms))
        return 0;
    const dns_question *q = &ask->a.q;
    size_t room = begin(self, ask);
    core_look_up(&self->core, &q->name, &o.hits); /* a combination that Python lets pass can name a host of URL entries */
    if (core_url_host(&self->core, q, &o.hits))
        core_answered(&o, answer_negative(self->answer, room, q, RCODE_NOERROR, EDE_NONE, self->core.policy.settings.ttl_s), RCODE_NOERROR, SOURCE_POLICY);
    else
        core_known(&self->core, q, ask->a.key, now_ms, stale_now, self->answer, room, &o);
    return end(self, ask, &o);
}

PyObject *core_py_known(PyObject *object, PyObject *args) { return known(object, args, "OO:known", 0); }

PyObject *core_py_stale(PyObject *object, PyObject *args) { return known(object, args, "OO:stale", 1); }

PyObject *core_py_blocked(PyObject *object, PyObject *args)
{
    core_object *self = (core_object *)object;
    PyObject *argument, *number, *now;
    uint64_t now_ms;
    ask_object *ask;
    core_outcome o;
    if (!PyArg_ParseTuple(args, "OOO:blocked", &argument, &number, &now) || !python_ask(argument, python_state(object), &ask) || !python_milliseconds(now, &now_ms))
        return 0;
    const verdict *v = verdict_number(self, number);
    if (v && v->action == ACTION_NONE)
        PyErr_SetString(PyExc_ValueError, "this verdict blocks nothing");
    if (!v || v->action == ACTION_NONE)
        return 0;
    core_block(&self->core, &ask->a.q, v, self->answer, begin(self, ask), &o);
    return end(self, ask, &o);
}

PyObject *core_py_note(PyObject *object, PyObject *number)
{
    const verdict *v = verdict_number((core_object *)object, number);
    if (!v)
        return 0;
    core_count(&((core_object *)object)->core, v);
    Py_RETURN_NONE;
}

PyObject *core_py_failure(PyObject *object, PyObject *args)
{
    core_object *self = (core_object *)object;
    PyObject *argument, *now;
    uint64_t now_ms;
    ask_object *ask;
    core_outcome o;
    int rcode, ede;
    if (!PyArg_ParseTuple(args, "OiiO:failure", &argument, &rcode, &ede, &now) || !python_ask(argument, python_state(object), &ask) || !python_milliseconds(now, &now_ms))
        return 0;
    if (rcode < 0 || rcode > RCODE_MAX || ede < EDE_NONE || ede > 0x7fff) {
        PyErr_SetString(PyExc_ValueError, "no such rcode or EDE");
        return 0;
    }
    unsigned written = answer_rcode(&ask->a.q, (unsigned)rcode);
    core_answered(&o, answer_bare(self->answer, begin(self, ask), &ask->a.q, written, ede, 0), written, SOURCE_ERROR);
    return end(self, ask, &o);
}

/* An Ask, its Reply and the time; the reply goes into the caches, once. Returns 0 with an exception. */
static reply_object *keep(core_object *self, PyObject *args, const char *format, ask_object **ask, core_body *b)
{
    module_state *state = python_state((PyObject *)self);
    PyObject *argument, *reply_argument, *now;
    uint64_t now_ms;
    if (!PyArg_ParseTuple(args, format, &argument, &reply_argument, &now) || !python_ask(argument, state, ask) || !python_milliseconds(now, &now_ms))
        return 0;
    reply_object *reply = (reply_object *)reply_argument;
    if (!Py_IS_TYPE(reply_argument, (PyTypeObject *)state->reply)) {
        PyErr_SetString(PyExc_TypeError, "not a Reply");
        return 0;
    }
    if (reply->key.hi != (*ask)->a.key.hi || reply->key.lo != (*ask)->a.key.lo) {
        PyErr_SetString(PyExc_ValueError, "the reply is to another question");
        return 0;
    }
    uint32_t size = reply->r.size - (*ask)->a.q.end, additional = reply->r.size - reply->r.additional_at;
    *b = (core_body){ reply->body, size, additional, { reply->r.counts[0], reply->r.counts[1], reply->r.counts[2] }, core_client_rcode(reply->r.rcode), reply->r.ede };
    if (!reply->r.failed)
        core_recovered(&self->core, (*ask)->a.key);
    if (!reply->kept)
        core_keep(&self->core, (*ask)->a.key, &(*ask)->a.q, b, reply->r.ttl_s, reply->epoch, reply->speaks, now_ms);
    reply->kept = 1;
    return reply;
}

PyObject *core_py_keep(PyObject *object, PyObject *args)
{
    ask_object *ask;
    core_body b;
    return keep((core_object *)object, args, "OOO:keep", &ask, &b) ? Py_NewRef(Py_None) : 0;
}

PyObject *core_py_finish(PyObject *object, PyObject *args)
{
    core_object *self = (core_object *)object;
    ask_object *ask;
    core_body b;
    core_outcome o;
    const reply_object *reply = keep(self, args, "OOO:finish", &ask, &b);
    if (!reply)
        return 0;
    size_t room = begin(self, ask);
    if (reply->r.truncated)
        core_answered(&o, answer_bare(self->answer, room, &ask->a.q, b.rcode, b.ede, 1), answer_rcode(&ask->a.q, b.rcode), SOURCE_UPSTREAM);
    else
        core_write(self->answer, room, &ask->a.q, &b, 0, SOURCE_UPSTREAM, &o);
    return end(self, ask, &o);
}

PyObject *core_py_remember_failure(PyObject *object, PyObject *args)
{
    core_object *self = (core_object *)object;
    PyObject *argument, *now;
    uint64_t now_ms;
    ask_object *ask;
    if (!PyArg_ParseTuple(args, "OO:remember_failure", &argument, &now) || !python_ask(argument, python_state(object), &ask) || !python_milliseconds(now, &now_ms))
        return 0;
    core_fail(&self->core, ask->a.key, now_ms);
    Py_RETURN_NONE;
}

PyObject *core_py_reached(PyObject *object, PyObject *number)
{
    unsigned long limit = PyLong_AsUnsignedLong(number);
    if (!PyErr_Occurred() && limit >= COUNTS_LIMITS)
        PyErr_SetString(PyExc_ValueError, "no such limit");
    if (PyErr_Occurred())
        return 0;
    counts_limit(&((core_object *)object)->core.counts, (unsigned)limit, 1);
    Py_RETURN_NONE;
}
