/* The flow cache's publication protocol: one writer, two readers, two slots for one key and a second key that may take over a
 * slot; retirement, grace periods, in-place refresh, change of the ruleset's generation.
 *
 *   scripts/check-models        exhaustive search: no assertion fails, nothing deadlocks
 *
 * Memory: a slot's entry is several plain words (here two halves that must agree), its tag is one atomic word. The release
 * store of a tag against a reader's load and acquire fence is what makes the halves visible together; the model is
 * sequentially consistent and shows the protocol above that: what may be written when, and who may still look. The half-written
 * entry is visible between its two writes, so a reader that followed a stale tag would see it.
 *
 * Readers work as workers do: a burst matches tags, keeps pointers to entries over other work, compares and acts, and reports
 * quiescence only while it keeps no pointer (one burst may wait for the next round).
 */
#define SLOTS 2
#define KEYS 2
#define READERS 2
#ifndef CHANGES
#define CHANGES 2
#endif
#define BURSTS 2

#define FREE 0
#define RETIRED 1
#define TAG(key) (2 + (key))

byte tag[SLOTS];                /* atomic */
byte keyOf[SLOTS];              /* the entry: key and the two halves of its rewrite */
byte first[SLOTS], second[SLOTS];
byte made[SLOTS];               /* the entry's ruleset generation, atomic */
byte counted[SLOTS];            /* worker-owned */
byte reported[SLOTS];           /* the writer's own: counts taken so far of the present tenant */
byte generation = 1;            /* the cache's, atomic */

/* The oldest ruleset that a packet may be handled by. */
byte wanted = 1;

/* Quiescence: the writer's token, and what each reader reported last. */
byte token = 0;
byte passed[READERS];

/* Packets forwarded by readers, packets credited by the writer. */
byte forwarded = 0, credited = 0;

/* The writer reads what it alone writes: in one step. */
inline freshSlot(s) {
    atomic {
        s = 0;
        do
        :: s < SLOTS && tag[s] != FREE -> s++
        :: else -> break
        od
    }
}

inline findSlot(k, s) {
    atomic {
        s = 0;
        do
        :: s < SLOTS && !(tag[s] == TAG(k) && keyOf[s] == k) -> s++
        :: else -> break
        od
    }
}

inline retire(s) { tag[s] = RETIRED }

/* Every worker has been quiescent since: last counts are credited, the slots are free. */
inline gracePeriod() {
    token++;
    (passed[0] >= token && passed[1] >= token);
    i = 0;
    do
    :: i < SLOTS ->
        if
        :: tag[i] == RETIRED && old[i] ->
            d_step { credited = credited + counted[i] - reported[i]; reported[i] = 0; counted[i] = 0 };
            tag[i] = FREE
        :: else -> skip
        fi;
        old[i] = false;
        i++
    :: else -> break
    od
}

active proctype Writer() {
    byte change = 0, k, s, o, i;
    bool old[SLOTS];
    /* One key is cached already. */
    d_step { first[0] = 100; second[0] = 100; made[0] = 1; tag[0] = TAG(0) };
    do
    :: change < CHANGES ->
        change++;
        if
        :: k = 0
        :: k = 1
        fi;
        if
        :: /* Insert, or replace by a new verdict: the new entry whole first, then its tag, then the old one's. */
            freshSlot(s);
            findSlot(k, o);
            if
            :: s < SLOTS ->
#ifdef PLANT_TAG_FIRST
                tag[s] = TAG(k);
#endif
                first[s] = change;
                keyOf[s] = k;
                made[s] = generation;
                second[s] = change;
                tag[s] = TAG(k);
                if
                :: o < SLOTS -> retire(o)
                :: else -> skip
                fi
            :: else -> skip
            fi
        :: /* Remove. */
            findSlot(k, o);
            if
            :: o < SLOTS -> retire(o)
            :: else -> skip
            fi
        :: /* Sweep: take what was counted, once. */
            findSlot(k, o);
            if
            :: o < SLOTS -> d_step { credited = credited + counted[o] - reported[o]; reported[o] = counted[o] }
            :: else -> skip
            fi
        :: /* A new ruleset: everything cached is stale; the same verdict may be confirmed in place. */
            generation++;
            findSlot(k, o);
            if
            :: o < SLOTS -> made[o] = generation
            :: else -> skip
            fi;
            /* One quiescent period after the change nobody acts on an older one. */
#ifndef PLANT_NO_WAIT
            token++;
            (passed[0] >= token && passed[1] >= token);
#endif
            wanted = generation
        fi;
        if
        :: /* A grace period covers what was retired before it began. */
            atomic {
                i = 0;
                do
                :: i < SLOTS -> old[i] = (tag[i] == RETIRED); i++
                :: else -> break
                od
            };
#ifdef PLANT_EARLY_REUSE
            i = 0;
            do
            :: i < SLOTS -> if :: tag[i] == RETIRED -> tag[i] = FREE :: else -> skip fi; i++
            :: else -> break
            od;
#endif
            gracePeriod()
        :: skip
        fi
    :: else -> break
    od;
    /* The end: all is taken out and counted. */
    s = 0;
    do
    :: s < SLOTS -> if :: tag[s] > RETIRED -> retire(s) :: else -> skip fi; s++
    :: else -> break
    od;
    i = 0;
    do
    :: i < SLOTS -> old[i] = (tag[i] == RETIRED); i++
    :: else -> break
    od;
    gracePeriod();
    /* Every packet was counted once. */
    (passed[0] == 255 && passed[1] == 255);
    assert(forwarded == credited)
}

proctype Reader(byte me) {
    byte k, s, seenGeneration, half, bursts = 0;
    do
    :: bursts < BURSTS ->
        bursts++;
        if
        :: k = 0
        :: k = 1
        fi;
        /* Stage 2: tags. */
        s = 0;
        do
        :: s < SLOTS && tag[s] != TAG(k) -> s++
        :: else -> break
        od;
        if
        :: s < SLOTS ->
            /* Stage 3, maybe a round later: the generation is loaded once a burst, before any entry is read. */
            seenGeneration = generation;
            if
            :: made[s] == seenGeneration && keyOf[s] == k ->
                half = first[s];
                /* Nobody writes an entry that a reader may hold. */
                assert(half == second[s]);
                /* Nobody acts on a ruleset that a quiescent period has passed since. */
                assert(seenGeneration >= wanted);
                assert(tag[s] != FREE);
                d_step { counted[s]++; forwarded++ }
            :: else -> skip
            fi
        :: else -> skip
        fi;
        /* Quiescent: no pointer is kept. */
        passed[me] = token
    :: else -> break
    od;
    /* Unregistered: never waited for again. */
    passed[me] = 255
}

init { atomic { run Reader(0); run Reader(1) } }
