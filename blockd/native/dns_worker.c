/* UdpWorker: a native thread that answers UDP, as Python sees it. The work is in worker.h, which knows nothing of Python.
 *
 * The GIL is given up only while a thread is joined or a door waits to be let go; the thread itself never takes it.
 */
#include "dns_python.h"

#include <sys/mman.h>
#include <sys/random.h>

enum { MEMORY_STEP_BYTES = 1 << 21 }; /* a large page */

/* The suffixes that are never forwarded. Returns 0 with an exception. */
static int take_local(worker *w, PyObject *names)
{
    Py_ssize_t n = PySequence_Size(names);
    if (n > WORKER_LOCAL_MAX)
        PyErr_Format(PyExc_ValueError, "more than %d local names", WORKER_LOCAL_MAX);
    for (Py_ssize_t i = 0; i < n && !PyErr_Occurred(); i++) {
        PyObject *item = PySequence_GetItem(names, i);
        char *bytes;
        Py_ssize_t size;
        dns_name name;
        if (item && PyBytes_AsStringAndSize(item, &bytes, &size) == 0) {
            if (name_walk((const uint8_t *)bytes, (const uint8_t *)bytes + size, &name) != size || !name.labels)
                PyErr_SetString(PyExc_ValueError, "not a name in wire form");
            else {
                w->local[w->n_local++] = name_fingerprint(w->core.key, &name);
                w->local_labels = name.labels > w->local_labels ? name.labels : w->local_labels;
            }
        }
        Py_XDECREF(item);
    }
    return n >= 0 && !PyErr_Occurred();
}

static worker *make(const core_object *core, PyObject *local)
{
    uint8_t key[16];
    size_t size = (sizeof(worker) + MEMORY_STEP_BYTES - 1) / MEMORY_STEP_BYTES * MEMORY_STEP_BYTES;
    worker *w = aligned_alloc(MEMORY_STEP_BYTES, size);
    if (!w)
        return (worker *)PyErr_NoMemory();
    (void)madvise(w, size, MADV_HUGEPAGE); /* one entry of the TLB for all that a batch touches */
    memset(w, 0, sizeof *w);
    w->core.policy = core->core.policy;
    w->core.shared = core->core.shared;
    w->core.counts = core->core.counts;
    w->core.key = core->core.key;
    if (getrandom(key, sizeof key, 0) != sizeof key || !worker_make(w, key))
        PyErr_SetFromErrno(PyExc_OSError);
    else if (take_local(w, local))
        return w;
    worker_free(w);
    free(w);
    return 0;
}

static PyObject *worker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "core", "local", 0 };
    PyObject *core, *local;
    core_object *checked;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O$O:UdpWorker", names, &core, &local) || !python_core(core, PyType_GetModuleState(type), &checked))
        return 0;
    worker *w = make(checked, local);
    worker_object *self = w ? (worker_object *)PyType_GenericAlloc(type, 0) : 0;
    if (!self) {
        if (w) {
            worker_free(w);
            free(w);
        }
        return 0;
    }
    self->w = w;
    self->core = (core_object *)Py_NewRef(core);
    w->core.policy = self->core->core.policy; /* again: reading the names may have run a caller's code */
    self->next = self->core->workers;
    self->core->workers = self;
    return (PyObject *)self;
}

static void worker_dealloc(PyObject *object)
{
    worker_object *self = (worker_object *)object;
    worker_object **at = &self->core->workers;
    Py_BEGIN_ALLOW_THREADS
    worker_stop(self->w);
    Py_END_ALLOW_THREADS
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    worker_free(self->w);
    free(self->w);
    Py_XDECREF(self->list);
    Py_DECREF((PyObject *)self->core);
    python_free(object);
}

static PyObject *worker_py_add_door(PyObject *object, PyObject *args)
{
    worker *w = ((worker_object *)object)->w;
    int fd, family, wildcard;
    unsigned i = 0;
    if (!PyArg_ParseTuple(args, "iip:add_door", &fd, &family, &wildcard) || !python_door(TRANSPORT_UDP, family))
        return 0;
    while (i < WORKER_DOORS_MAX && worker_door_state(w, i) != DOOR_FREE)
        i++;
    if (i == WORKER_DOORS_MAX)
        return PyErr_Format(PyExc_ValueError, "more than %d doors", WORKER_DOORS_MAX);
    if (!udp_prepare(fd, family, wildcard))
        return PyErr_SetFromErrno(PyExc_OSError);
    worker_lock(w);
    w->doors[i].fd = fd;
    w->doors[i].family = (uint8_t)family;
    w->doors[i].dropped = udp_dropped(fd);
    __atomic_store_n(&w->doors[i].state, DOOR_OPEN, __ATOMIC_RELEASE);
    worker_unlock(w);
    worker_wake(w);
    return PyLong_FromUnsignedLong(i);
}

/* The door of that number, or -1 with an exception. */
static int door_number(const worker *w, PyObject *number)
{
    unsigned long i = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return -1;
    if (i < WORKER_DOORS_MAX && worker_door_state(w, (unsigned)i) != DOOR_FREE)
        return (int)i;
    PyErr_SetString(PyExc_ValueError, "no such door");
    return -1;
}

static void set_door(worker *w, int i, unsigned state)
{
    worker_lock(w);
    __atomic_store_n(&w->doors[i].state, state, __ATOMIC_RELEASE);
    worker_unlock(w);
    worker_wake(w);
}

static PyObject *worker_py_remove_door(PyObject *object, PyObject *number)
{
    worker *w = ((worker_object *)object)->w;
    int i = door_number(w, number);
    if (i < 0)
        return 0;
    set_door(w, i, DOOR_LEAVING);
    Py_BEGIN_ALLOW_THREADS
    while (__atomic_load_n(&w->alive, __ATOMIC_ACQUIRE) && worker_door_state(w, (unsigned)i) != DOOR_FREE)
        (void)nanosleep(&(struct timespec){ .tv_nsec = 50000 }, 0);
    Py_END_ALLOW_THREADS
    if (worker_door_state(w, (unsigned)i) == DOOR_LEAVING) /* a thread that does not run can't let it go */
        set_door(w, i, DOOR_FREE);
    Py_RETURN_NONE;
}

static PyObject *worker_py_drain(PyObject *object, PyObject *args)
{
    worker *w = ((worker_object *)object)->w;
    PyObject *number = Py_None;
    if (!PyArg_ParseTuple(args, "|O:drain", &number))
        return 0;
    int only = number == Py_None ? -1 : door_number(w, number);
    if (PyErr_Occurred())
        return 0;
    for (int i = 0; i < WORKER_DOORS_MAX; i++)
        if ((only < 0 || i == only) && worker_door_state(w, (unsigned)i) == DOOR_OPEN)
            set_door(w, i, DOOR_DRAINING);
    Py_RETURN_NONE;
}

static PyObject *worker_py_configure(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "acl", "rate", 0 };
    worker_object *self = (worker_object *)object;
    worker *w = self->w;
    PyObject *list = 0;
    int rate = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$Oi:configure", names, &list, &rate))
        return 0;
    if (!list || !Py_IS_TYPE(list, (PyTypeObject *)python_state(object)->acl)) {
        PyErr_SetString(PyExc_TypeError, "not an Acl");
        return 0;
    }
    if (rate < 0 || rate > RATE_MAX) {
        PyErr_Format(PyExc_ValueError, "rate is 0 to %d", RATE_MAX);
        return 0;
    }
    rate_bucket *buckets = rate && !w->rate.buckets ? calloc(RATE_PREFIXES_MAX, sizeof *buckets) : 0;
    if (rate && !w->rate.buckets && !buckets)
        return PyErr_NoMemory();
    PyObject *old = self->list;
    worker_lock(w);
    w->list = &((acl_object *)list)->list;
    if (buckets)
        w->rate.buckets = buckets;
    w->rate.limit = (uint32_t)rate;
    worker_unlock(w);
    self->list = Py_NewRef(list);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

/* One (number, packed address, port). Returns 0 with an exception. */
static int take_upstream(PyObject *tuple, worker_upstream *u)
{
    int number, port;
    const char *packed;
    Py_ssize_t size;
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "an upstream is a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(tuple, "iy#i", &number, &packed, &size, &port))
        return 0;
    if (number < 0 || number > INT16_MAX || port < 1 || port > 0xffff || (size != 4 && size != 16)) {
        PyErr_SetString(PyExc_ValueError, "an upstream is (number, packed address, port)");
        return 0;
    }
    memset(u, 0, sizeof *u);
    u->number = (int16_t)number;
    if (size == 4) {
        u->address.in4.sin_family = AF_INET;
        u->address.in4.sin_port = htons((uint16_t)port);
        memcpy(&u->address.in4.sin_addr, packed, 4);
        u->address_bytes = sizeof u->address.in4;
    } else {
        u->address.in6.sin6_family = AF_INET6;
        u->address.in6.sin6_port = htons((uint16_t)port);
        memcpy(&u->address.in6.sin6_addr, packed, 16);
        u->address_bytes = sizeof u->address.in6;
    }
    return 1;
}

static PyObject *worker_py_follow(PyObject *object, PyObject *sequence)
{
    worker_upstream upstreams[FORWARD_UPSTREAMS_MAX];
    Py_ssize_t n = PySequence_Size(sequence), taken = 0;
    for (; taken < n && taken < FORWARD_UPSTREAMS_MAX; taken++) {
        PyObject *item = PySequence_GetItem(sequence, taken);
        int ok = item && take_upstream(item, &upstreams[taken]);
        Py_XDECREF(item);
        if (!ok)
            return 0;
    }
    if (n < 0)
        return 0;
    worker_follow(((worker_object *)object)->w, upstreams, (unsigned)taken);
    Py_RETURN_NONE;
}

static PyObject *worker_py_start(PyObject *object, PyObject *none)
{
    worker_object *self = (worker_object *)object;
    (void)none;
    if (!self->list) {
        PyErr_SetString(PyExc_ValueError, "configure() comes before start()");
        return 0;
    }
    if (self->w->running && !__atomic_load_n(&self->w->alive, __ATOMIC_ACQUIRE)) {
        Py_BEGIN_ALLOW_THREADS
        worker_stop(self->w); /* it has ended: this only joins it */
        Py_END_ALLOW_THREADS
    }
    errno = worker_start(self->w);
    return errno ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}

static PyObject *worker_py_stop(PyObject *object, PyObject *none)
{
    (void)none;
    Py_BEGIN_ALLOW_THREADS
    worker_stop(((worker_object *)object)->w);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *worker_py_fileno(PyObject *object, PyObject *none)
{
    (void)none;
    return PyLong_FromLong(((worker_object *)object)->w->up);
}

enum { POLL_MAX = 64 }; /* questions that Python takes in one turn of its loop */

static PyObject *worker_py_poll(PyObject *object, PyObject *none)
{
    worker *w = ((worker_object *)object)->w;
    PyObject *list = PyList_New(0);
    uint64_t ignored;
    const asked *a;
    (void)none;
    if (read(w->up, &ignored, sizeof ignored) < 0 && errno != EAGAIN && list)
        PyErr_SetFromErrno(PyExc_OSError);
    (void)__atomic_exchange_n(&w->told, 0, __ATOMIC_ACQ_REL); /* before the ring is read: what comes after is told again */
    for (unsigned i = 0; list && !PyErr_Occurred() && i < POLL_MAX && (a = ring_peek(&w->ring)); i++) {
        if (!python_append(python_state(object), list, a, object))
            break;
        ring_took(&w->ring);
    }
    if (ring_peek(&w->ring))
        worker_tell(w);
    if (PyErr_Occurred())
        Py_CLEAR(list);
    return list;
}

static PyObject *worker_py_send(PyObject *object, PyObject *answers)
{
    static udp_batch batch; /* only its outgoing half is used, and the GIL is held */
    if (!batch.out[0].msg_hdr.msg_iov)
        udp_init(&batch);
    return python_send(python_state(object), object, answers, ((worker_object *)object)->w->doors, &batch);
}

static PyObject *worker_py_stats(PyObject *object, PyObject *none)
{
    worker *w = ((worker_object *)object)->w;
    unsigned draining = 0;
    (void)none;
    worker_lock(w);
    unsigned long long in_flight = w->forward.n_waiters, forwarded = w->forward.forwarded, coalesced = w->forward.coalesced, hedged = w->forward.hedged;
    worker_figures f = w->figures;
    worker_unlock(w);
    for (unsigned i = 0; i < WORKER_DOORS_MAX; i++)
        draining += worker_door_state(w, i) == DOOR_DRAINING;
    uint32_t waiting = __atomic_load_n(&w->ring.head, __ATOMIC_ACQUIRE) - w->ring.tail;
    return Py_BuildValue(
        "{sisisKsIsIsKsKsKsKsKsKsK}", "running", __atomic_load_n(&w->alive, __ATOMIC_ACQUIRE), "error", __atomic_load_n(&w->error, __ATOMIC_RELAXED), "in_flight",
        in_flight, "ring", waiting, "draining", draining, "forwarded", forwarded, "coalesced", coalesced, "hedged", hedged, "escalated",
        (unsigned long long)f.escalated, "batches", (unsigned long long)f.batches, "packets", (unsigned long long)f.packets, "rate_limited",
        (unsigned long long)f.rate_limited);
}

static PyObject *worker_py_upstreams(PyObject *object, PyObject *none)
{
    worker *w = ((worker_object *)object)->w;
    forward_upstream copy[FORWARD_SLOTS];
    PyObject *list = PyList_New(0);
    (void)none;
    worker_lock(w);
    memcpy(copy, w->forward.upstreams, sizeof copy);
    worker_unlock(w);
    for (unsigned i = 0; list && i < FORWARD_SLOTS; i++) {
        const forward_upstream *u = &copy[i];
        if (u->number < 0)
            continue;
        PyObject *row = Py_BuildValue(
            "(iKKKKKd)", u->number, (unsigned long long)u->ok, (unsigned long long)u->timeouts, (unsigned long long)u->failures, (unsigned long long)u->mismatches,
            (unsigned long long)u->malformed, u->rtt_us / 1000);
        if (!row || PyList_Append(list, row) != 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

static PyMethodDef worker_methods[] = {
    { "add_door", worker_py_add_door, METH_VARARGS, "Answer on this socket too; returns the door's number." },
    { "remove_door", worker_py_remove_door, METH_O, "When it returns the thread does not use the socket any more." },
    { "drain", worker_py_drain, METH_VARARGS, "Take what the kernel holds for a door, or for all, and no more." },
    { "configure", (PyCFunction)(void (*)(void))worker_py_configure, METH_VARARGS | METH_KEYWORDS, "Who may ask, and how often." },
    { "follow", worker_py_follow, METH_O, "Forward plain misses to these; to none: every miss goes up." },
    { "start", worker_py_start, METH_NOARGS, "Start the thread; after it died too." },
    { "stop", worker_py_stop, METH_NOARGS, "End the thread." },
    { "fileno", worker_py_fileno, METH_NOARGS, "Readable when poll has something, or the thread has ended." },
    { "poll", worker_py_poll, METH_NOARGS, "Questions that need Python, as (Ask, Client)." },
    { "send", worker_py_send, METH_O, "Send (Client, bytes) pairs; returns how many went." },
    { "stats", worker_py_stats, METH_NOARGS, "Figures of the thread." },
    { "upstreams", worker_py_upstreams, METH_NOARGS, "Figures of the upstreams that it forwards to." },
    { 0, 0, 0, 0 },
};

static PyType_Slot worker_slots[] = {
    { Py_tp_doc, "A native thread that answers UDP." },
    { Py_tp_new, worker_new },
    { Py_tp_dealloc, worker_dealloc },
    { Py_tp_methods, worker_methods },
    { 0, 0 },
};

PyType_Spec udp_worker_spec = {
    .name = "blockd.native._dns.UdpWorker",
    .basicsize = sizeof(worker_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = worker_slots,
};
