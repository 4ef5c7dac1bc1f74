/* Whose an entry of the flow cache is (FlowOwner.swift): one direction of one flow, whose packets reach either of two workers at any
 * time; the writer publishes an entry for the worker whose packet came up, or a shared one, and retires the one before.
 *
 *   scripts/check-models        exhaustive search: no assertion fails, nothing deadlocks
 *
 * An owner counts with a load and a store, two steps between which others may act; in a shared entry everybody counts in one. With
 * `window` the flow is a TCP connection's direction: its window has one writer at a time, so the next entry waits until every worker
 * has let go of the one before, and a spread direction stays in the slow path.
 */
#define SLOTS 3
#define SHARED 2
#define NOBODY 3
#define PACKETS 3

byte owner[SLOTS];              /* written before the entry is visible, then constant */
byte visible = 255;             /* the slot that lookups find */
byte counted[SLOTS];
byte asked = NOBODY;            /* the worker whose packet came up last */
bool window = false;            /* chosen once, before the workers begin */
byte forwarded = 0, slow = 0, credited = 0, ended = 0;
byte inWindow = 0;              /* workers between their load and their store of the window */

byte token = 0;
byte passed[2];

proctype Worker(byte me) {
    byte sent = 0, slot, value;
    do
    :: sent < PACKETS ->
        sent++;
        slot = visible;
        if
        :: slot == 255 -> atomic { asked = me; slow++ }
#ifndef PLANT_NO_OWNER
        :: slot != 255 && owner[slot] != me && owner[slot] != SHARED -> atomic { asked = me; slow++ }
        :: slot != 255 && owner[slot] == SHARED ->
            /* A locked addition. */
            atomic { counted[slot]++; forwarded++ }
        :: slot != 255 && owner[slot] == me ->
#else
        :: slot != 255 ->
#endif
            if
            :: window ->
                atomic { assert(inWindow == 0); inWindow++ };
                inWindow--
            :: else -> skip
            fi;
            value = counted[slot];
            counted[slot] = value + 1;
            forwarded++
        fi;
        passed[me] = token
    :: else -> break
    od;
    atomic { passed[me] = 255; ended++ }
}

inline gracePeriod() {
    token++;
    (passed[0] >= token && passed[1] >= token);
    i = 0;
    do
    :: i < SLOTS && old[i] ->
        credited = credited + counted[i];
        counted[i] = 0;
        old[i] = false;
        used[i] = false;
        i++
    :: i < SLOTS && !old[i] -> i++
    :: i >= SLOTS -> break
    od
}

inline freshSlot() {
    s = 0;
    do
    :: s < SLOTS && used[s] -> s++
    :: else -> break
    od
}

active proctype Writer() {
    byte i, s, before, wanted;
    bool used[SLOTS], old[SLOTS];
    if
    :: window = true
    :: window = false
    fi;
    run Worker(0);
    run Worker(1);
    do
    :: atomic { asked != NOBODY -> wanted = asked; asked = NOBODY };
        before = visible;
        if
        :: before != 255 && (owner[before] == wanted || owner[before] == SHARED) -> skip
        :: else ->
            if
            :: window && before != 255 ->
                visible = 255;
                old[before] = true;
#ifndef PLANT_NO_WAIT
                gracePeriod();
#endif
                before = 255
            :: else -> skip
            fi;
            freshSlot();
            if
            :: s == SLOTS -> skip
            :: else ->
                used[s] = true;
                if
                :: owner[s] = wanted
                :: before != 255 -> owner[s] = SHARED
                fi;
                visible = s;
                if
                :: before != 255 -> old[before] = true
                :: else -> skip
                fi
            fi
        fi
    :: token < 4 -> gracePeriod()
    :: ended == 2 -> break
    od;
    if
    :: visible != 255 ->
        old[visible] = true;
        visible = 255
    :: else -> skip
    fi;
    gracePeriod();
    assert(credited == forwarded);
    assert(forwarded + slow == 2 * PACKETS)
}
