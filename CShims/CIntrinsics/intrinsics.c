// Everything here is inline; SwiftPM wants one translation unit per C target.
#include "intrinsics.h"
