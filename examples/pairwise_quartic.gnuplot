# Draws what examples/pairwise_quartic.cpp wrote:
#   gnuplot -e "folder='build/pairwise'; first='OD280/315'; second='proline'" examples/pairwise_quartic.gnuplot
densities = folder."/densities.dat"
stats densities using 1:2 nooutput
low_x = STATS_min_x; high_x = STATS_max_x; low_y = STATS_min_y; high_y = STATS_max_y
set contour base
unset surface
set cntrparam levels discrete 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3
set table folder."/contours1.dat"
splot densities using 1:2:3
set table folder."/contours2.dat"
splot densities using 1:2:4
set table folder."/contours3.dat"
splot densities using 1:2:5
unset table
unset contour
# Every contour's level stands at its lowest point; darker is denser.
do for [k = 1:3] {
  contours = sprintf("%s/contours%d.dat", folder, k)
  set print sprintf("%s/levels%d.dat", folder, k)
  stats contours using 1:2 nooutput
  do for [level = 0:STATS_blocks - 1] {
    stats contours index level using 1:2 nooutput
    place = sprintf("%.6g %.6g", STATS_pos_min_y, STATS_min_y)
    stats contours index level using 3 nooutput
    print place, STATS_mean
  }
  unset print
}
set palette defined (0 "#8fb8d0", 1 "#20639b", 2 "#0b2239")
unset colorbox
set style textbox opaque fillcolor rgb "white" noborder margins 0.3,0.2

set terminal pngcairo size 1500,600 font "Sans,13" background "#ffffff"
set output folder."/pairwise_quartic.png"
set multiplot layout 1,3 margins 0.065,0.99,0.17,0.92 spacing 0.045,0
set logscale xy
set xrange [low_x:high_x]
set yrange [low_y:high_y]
set xtics (1, 1.5, 2, 3, 4, 6)
set ytics (200, 300, 500, 750, 1000, 1500, 2500)
set tics out nomirror
set xlabel first
set cbrange [log(0.02):log(0.15)]
set key top left reverse Left samplen 1
array titles[3] = ["Gaussian", "quartic energy by implicit score matching, closed form", "quartic energy by maximum likelihood"]
wines = folder."/wines.dat"
do for [k = 1:3] {
  set title titles[k]
  set ylabel k == 1 ? second : "" offset 1,0
  unset label
  if (k == 1) { set label "contours: the density of the standardised logarithms" at screen 0.5275,0.03 center }
  plot for [c = 0:2] wines using 1:($3 == c ? $2 : 1/0) with points pointtype 7 pointsize 0.8 \
         linecolor rgb word("#3caea3 #ed553b #f6b53c", c + 1) title (k == 1 ? sprintf("cultivar %d", c + 1) : ""), \
       sprintf("%s/contours%d.dat", folder, k) using 1:2:(log($3)) with lines linewidth 1.8 linecolor palette notitle, \
       sprintf("%s/levels%d.dat", folder, k) using 1:2:(gprintf("%g", $3)) with labels boxed font "Sans,10" notitle
}
unset multiplot
