# Draws what examples/two_moons.cpp wrote:  gnuplot -e "folder='build/two_moons'" examples/two_moons.gnuplot
set terminal pngcairo size 1500,820 font "Sans,13" background "#ffffff"
set output folder."/two_moons.png"
set datafile separator ","
set multiplot
unset key
set tics out nomirror

# Above: down the ladder, each chain the same one.
sigmas = "8 1.19 0.41 0.14 0.05"
set tmargin at screen 0.945; set bmargin at screen 0.945 - 0.126*1500/820
set xlabel "x₁" offset 0,0.3
do for [k=1:6] {
  reach = k == 1 ? 24 : 4.5
  set xrange [-reach:reach]
  set yrange [-reach:reach]
  tic = k == 1 ? 20 : 4
  set xtics -tic,tic/2
  set ytics -tic,tic/2
  left = 0.047 + 0.164*(k - 1)
  set lmargin at screen left; set rmargin at screen left + 0.126
  set title (k == 6 ? "the data" : "σ = ".word(sigmas, k).(k == 1 ? "  (wider view)" : ""))
  set ylabel k == 1 ? "x₂" : "" offset 1,0
  plot folder.(k == 6 ? "/data.csv" : "/stage".k.".csv") using 1:2 skip 1 with points pointtype 7 pointsize 0.25 linecolor rgb (k == 6 ? "black" : "#20639b")
}

# Below: two modes far apart, of mass 0.8 and 0.2, from a uniform start.
set xrange [-10:10]
set yrange [-10:10]
set xtics -10,5
set ytics -10,5
set tmargin at screen 0.53; set bmargin at screen 0.53 - 0.243*1500/820
do for [k=1:2] {
  left = 0.2 + 0.39*(k - 1)
  set lmargin at screen left; set rmargin at screen left + 0.243
  file = folder.(k == 1 ? "/langevin.csv" : "/annealed.csv")
  stats file using ($1 + $2 > 0 ? 1 : 0) skip 1 nooutput
  set title sprintf("%s: %.2f and %.2f (true: 0.80 and 0.20)", k == 1 ? "Langevin" : "annealed Langevin, 20 → 1", STATS_mean, 1 - STATS_mean)
  set ylabel "x₂" offset 1,0
  plot file using 1:2 skip 1 with points pointtype 7 pointsize 0.25 linecolor rgb (k == 1 ? "#ed553b" : "#3caea3")
}
unset multiplot
