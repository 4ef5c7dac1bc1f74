/* Resizing the flow cache's table while readers run: one writer, two readers, one flow, an old table and the one that takes over.
 *
 *   scripts/check-models        exhaustive search: no assertion fails, nothing deadlocks
 *
 * The writer copies the flow's entry, publishes the new table, waits until every reader has reported quiescence, takes the old copy's
 * last counts and frees the old table; in between, at any place, it inserts the flow, gives it another verdict, or withdraws it
 * and waits for the readers. Readers look up in the table whose view they have, keep the entry over other work, act, report
 * quiescence, and only then take up the view that is published. Sources/FlowCache/FlowTableFamily.swift names the phases.
 *
 * publication.pml shows how one table's entries are published and its slots reused; here an entry appears and goes in one step.
 */
#define READERS 2
#ifndef OPERATIONS
#define OPERATIONS 2
#endif
#define BURSTS 3
#define NONE 0

/* By table: is its memory there; the verdict of the flow's visible entry; packets that workers counted in the table. */
bool there[2];
byte verdict[2];
byte counted[2];

/* The table that readers are to use: atomic. */
byte view = 0;

/* Quiescence: the writer's token, and what each reader reported last. */
byte token = 0;
byte passed[READERS];

/* The oldest verdict that a packet may be handled by: older ones were withdrawn, and every reader has been quiescent since. */
byte wanted = 1;
/* The flow is cached for whichever table a reader uses; `losses` counts the times that this ended. */
bool everywhere = true;
byte losses = 0;

byte forwarded = 0, credited = 0;

inline everyReader() {
    token++;
    (passed[0] >= token && passed[1] >= token)
}

/* One change to the flow, in all tables that readers may use or will: in `mine`, and in `twin` if `isTwin`. */
inline operate() {
    if
    :: operations < OPERATIONS ->
        if
        :: /* Another verdict; or the flow appears. */
            operations++;
            newest++;
            d_step { if :: everywhere -> losses++ :: else -> skip fi; everywhere = false };
            verdict[mine] = newest;
#ifndef PLANT_FORGET_TWIN
            if :: isTwin -> verdict[1 - mine] = newest :: else -> skip fi;
#endif
            d_step { if :: isTwin || view == mine && !isLeft -> everywhere = true :: else -> skip fi };
            everyReader();
            wanted = newest
        :: /* Withdrawn. */
            operations++;
            d_step { if :: everywhere -> losses++ :: else -> skip fi; everywhere = false };
            verdict[mine] = NONE;
            if :: isTwin -> verdict[1 - mine] = NONE :: else -> skip fi;
            everyReader();
            wanted = newest + 1
        :: skip
        fi
    :: else -> skip
    fi
}

active proctype Writer() {
    byte operations = 0, newest = 1;
    byte mine = 0;
    bool isTwin = false;
    /* Readers may still use the table that is not `mine`. */
    bool isLeft = false;
    d_step { there[0] = true; verdict[0] = 1 };
    operate();
    /* Copying: readers know the old table only. What changes from here on changes in both. */
    there[1] = true;
    isTwin = true;
    operate();
#ifndef PLANT_SWITCH_EARLY
    verdict[1] = verdict[0];
#endif
    operate();
    /* Leaving: some readers use one table, some the other. */
    mine = 1;
    isLeft = true;
    view = 1;
    operate();
#ifndef PLANT_FREE_EARLY
    everyReader();
#endif
    /* Draining: nobody uses the old table. */
    isLeft = false;
    isTwin = false;
    d_step { credited = credited + counted[0]; there[0] = false };
    operate();
    /* The end: every packet was counted once. */
    (passed[0] == 255 && passed[1] == 255);
    credited = credited + counted[1];
    assert(forwarded == credited)
}

proctype Reader(byte me) {
    byte mine, found, before, bursts = 0;
    bool must;
    mine = view;
    do
    :: bursts < BURSTS ->
        bursts++;
        d_step { must = everywhere; before = losses };
        /* Stage 2: tags. */
        assert(there[mine]);
        found = verdict[mine];
        /* Nothing that was cached all the while is missed. */
        assert(!(must && losses == before && found == NONE));
        /* Stage 3, maybe a round later. */
        if
        :: found != NONE ->
            assert(there[mine]);
            assert(found >= wanted);
            d_step { counted[mine]++; forwarded++ }
        :: else -> skip
        fi;
#ifdef PLANT_LOOK_BEFORE_REPORT
        mine = view;
        passed[me] = token
#else
        passed[me] = token;
        mine = view
#endif
    :: else -> break
    od;
    passed[me] = 255
}

init {
    /* The writer has its first table before a reader begins. */
    (there[0]);
    atomic { run Reader(0); run Reader(1) }
}
