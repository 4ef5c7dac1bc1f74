/* One word of a TCP window that a worker and the slow path write (SharedWindows.swift): the highest sequence number of a direction.
 *
 *   scripts/check-models        exhaustive search: no assertion fails, nothing deadlocks
 *
 * The worker reads the word and stores, as a second step, what its segment goes beyond it. The slow path raises it by compare-and-exchange, keeps
 * what it taught in a note, judges by memory and note, and drops the note after a grace period at whose end memory has all of it. Once
 * it may take the window over instead: it closes it, sets it back to another epoch, and opens it again after a grace period.
 */
#define HIGHEST 4

byte word = 0;
bool open = true;
byte epoch = 0;
byte note = 0;
bool hasNote = false, isCovered = false;
bool isTaken = false;
byte slowTaught = 0, workerTaught = 0;

byte token = 0, passed = 0;
bool ended = false;

proctype Worker() {
    byte known, segment, seen;
    byte left = 3;
    do
    :: left > 0 ->
        left--;
        select(segment : 1 .. HIGHEST);
        atomic { known = word; seen = epoch }
        if
        :: open && segment > known ->
            /* Between the look and the store others act. */
            atomic {
                /* What was seen of another epoch is not stored into this one. */
                assert(!open || seen == epoch);
                if
                :: open ->
                    word = segment;
                    workerTaught = (segment > workerTaught -> segment : workerTaught)
                :: else -> skip
                fi
            }
        :: else -> skip
        fi;
        passed = token
    :: else -> break
    od;
    atomic { passed = 255; ended = true }
}

inline judge(segment) {
    atomic {
#ifdef PLANT_NO_NOTE
        view = word;
#else
        view = (hasNote && note > word -> note : word);
#endif
        /* Whatever either taught is known, so nothing that answers it looks as if it came from nowhere. */
        assert(isTaken || view >= slowTaught);
        assert(isTaken || view >= workerTaught);
    }
#ifdef PLANT_PLAIN_STORE
    if
    :: segment > view -> word = segment
    :: else -> word = view
    fi;
#else
    atomic { if :: open && segment > word -> word = segment :: else -> skip fi };
#endif
    atomic {
        note = (segment > view -> segment : view);
        hasNote = true;
        isCovered = false;
        slowTaught = (segment > slowTaught -> segment : slowTaught)
    }
}

inline gracePeriod() {
    isCovered = true;
    token++;
    passed >= token;
    atomic {
        if
        :: isTaken ->
            word = note;
            open = true;
            isTaken = false;
            hasNote = false
#ifdef PLANT_DROP_UNSEEN
        :: !isTaken -> hasNote = false
#else
        :: !isTaken && hasNote && word >= note -> hasNote = false
        :: !isTaken && hasNote && word < note -> word = note
#endif
        :: else -> skip
        fi
    }
}

inline takeOver() {
    atomic {
        open = false;
        isTaken = true;
        hasNote = true;
        note = 1;
        epoch++;
        slowTaught = 1;
        workerTaught = 0
    };
#ifdef PLANT_NO_GRACE_PERIOD
    atomic { word = note; open = true; isTaken = false; hasNote = false }
#endif
}

active proctype SlowPath() {
    byte view, left = 4, choice;
    bool wasTaken = false;
    run Worker();
    do
    :: left > 0 ->
        left--;
        if
        :: !isTaken -> judge(3)
        :: !isTaken -> judge(2)
        :: !wasTaken -> wasTaken = true; takeOver()
        :: gracePeriod()
        fi
    :: else -> break
    od;
    ended;
    gracePeriod();
    gracePeriod();
    /* Nothing is kept any more, and nothing is lost. */
    assert(!hasNote && word >= slowTaught && word >= workerTaught)
}
