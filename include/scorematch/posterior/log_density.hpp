// All log densities as functions of values.
#pragma once

#include "scorematch/posterior/continuous.hpp"
#include "scorematch/posterior/correlation.hpp"
#include "scorematch/posterior/discrete.hpp"
