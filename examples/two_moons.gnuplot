# Draws what examples/two_moons.cpp wrote:  gnuplot -e "folder='build/two_moons'" examples/two_moons.gnuplot
set terminal pngcairo size 1500,760 font "Sans,13" background "#ffffff"
set output folder."/two_moons.png"
set datafile separator ","
set multiplot
unset key
unset tics
set size ratio -1
set lmargin 1; set rmargin 1; set tmargin 2; set bmargin 1

# Above: down the ladder, each chain the same one.
sigmas = "8 1.19 0.41 0.14 0.05"
do for [k=1:5] {
  reach = k == 1 ? 24 : 4.5
  set xrange [-reach:reach]
  set yrange [-reach:reach]
  set origin (k - 1)/6.0, 0.62; set size 1/6.0,0.37
  set title "σ = ".word(sigmas, k).(k == 1 ? "  (wider view)" : "")
  plot folder."/stage".k.".csv" using 1:2 skip 1 with points pointtype 7 pointsize 0.25 linecolor rgb "#20639b"
}
set origin 5/6.0,0.62; set size 1/6.0,0.37
set title "the data"
plot folder."/data.csv" using 1:2 skip 1 with points pointtype 7 pointsize 0.25 linecolor rgb "black"

# Below: two modes far apart, of mass 0.8 and 0.2, from a uniform start.
set xrange [-10:10]
set yrange [-10:10]
set tics out nomirror
set lmargin 5; set bmargin 2
do for [k=1:2] {
  set origin 0.16 + (k - 1)*0.36, 0.0; set size 0.34,0.6
  file = folder.(k == 1 ? "/langevin.csv" : "/annealed.csv")
  stats file using ($1 + $2 > 0 ? 1 : 0) skip 1 nooutput
  set title sprintf("%s: %.2f and %.2f (true: 0.80 and 0.20)", k == 1 ? "Langevin" : "annealed Langevin, 20 → 1", STATS_mean, 1 - STATS_mean)
  plot file using 1:2 skip 1 with points pointtype 7 pointsize 0.25 linecolor rgb (k == 1 ? "#ed553b" : "#3caea3")
}
unset multiplot
